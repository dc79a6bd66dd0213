"""For the specs of notebooks: passes connections on, as a tunnel does: the server behind seems to listen here. usage: notebook_relay.py PORT; prints its own port."""
import asyncio
import sys


async def copy(reader, writer):
    try:
        while True:
            data = await reader.read(65536)
            if not data:
                break
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def passed(reader, writer):
    try:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer))


async def main():
    server = await asyncio.start_server(passed, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
