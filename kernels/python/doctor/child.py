"""A model with a Python of its own (bin): the training runs in a child of the kernel, in the same box, and tells here how far it is.

    BIN -I -B doctor/child.py doctor.server      payload: JSON on standard input; progress and the end: lines of JSON on descriptor 3
"""
import json
import os
import subprocess
import sys

LINE_BYTES = 16 << 20


def is_needed(payload):
    wanted = payload.get("bin")
    return wanted is not None and os.path.abspath(wanted) != os.path.abspath(sys.executable)


def run(payload):
    import dss
    from doctor.trouble import CannotTrain
    wanted = payload["bin"]
    reads, writes = os.pipe()
    payload = {k: v for k, v in payload.items() if k != "bin"}
    child = None
    try:
        with open(reads, "rb") as said:
            try:
                child = subprocess.Popen([wanted, "-I", "-B", os.path.abspath(__file__), "doctor.server", str(writes)], stdin=subprocess.PIPE,
                                         pass_fds=(writes,))
            except OSError as e:
                raise CannotTrain("unable to run %s, the bin of model %s: %s" % (wanted, payload["model"], e.strerror)) from None
            finally:
                os.close(writes)
            try:
                with child.stdin as target:
                    target.write(json.dumps(payload).encode())
            except BrokenPipeError:
                pass        # its exit tells
            end = None
            while True:
                line = said.readline(LINE_BYTES)
                if not line:
                    break
                word = json.loads(line)
                if "end" in word:
                    end = word
                else:
                    dss.progress(word.get("progress"), word.get("message"))
        code = child.wait()
    finally:
        if child is not None and child.poll() is None:
            child.kill()
            child.wait()
    if end is None:
        raise RuntimeError("%s ended with %s before the training did; its log tells more"
                           % (wanted, "signal %d" % -code if code < 0 else "status %d" % code))
    if end["end"] == "done":
        return end["result"]
    if end["end"] == "refused":
        raise CannotTrain(end["message"])
    raise RuntimeError(end["message"])


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    kernels = os.path.dirname(here)
    sys.path[:] = [p for p in sys.path if os.path.abspath(p) != here] + [kernels, os.path.join(kernels, "kernel")]
    fd = int(sys.argv[2])
    os.set_inheritable(fd, False)
    payload = json.load(sys.stdin)
    import dss
    from doctor import training
    from doctor.trouble import CannotTrain

    def tell(word):
        os.write(fd, json.dumps(word).encode() + b"\n")

    dss.progress = lambda fraction=None, message=None: tell({"progress": fraction, "message": message})
    try:
        result = training.run(payload)
    except CannotTrain as e:
        tell({"end": "refused", "message": str(e)})
    except Exception as e:
        tell({"end": "failed", "message": "%s: %s" % (type(e).__name__, str(e)[:4000])})
        raise
    else:
        with open(fd, "wb") as target:      # may be more than a pipe takes at once
            target.write(json.dumps({"end": "done", "result": result}).encode() + b"\n")


if __name__ == "__main__":
    main()
