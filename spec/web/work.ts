// work: a demo instance with people at work on it: what the pictures show.
import type { Instance } from "./instance";
import { until } from "./instance";

export interface Work {
	/** of tasks: one that runs and holds memory, one that died of its limit */
	running: string;
	died: string;
	/** prints on and on */
	nightly: string;
	job: string;
}

const MODULE = `
import time
import dss

def hold(megabytes, seconds, what):
    held = []
    for i in range(megabytes):
        held.append(bytearray(b"\\1") * (1 << 20))
        if i % 16 == 0:
            print("%s: %d of %d MB" % (what, i, megabytes), flush=True)
            dss.progress(i / megabytes, "%d MB" % i)
            time.sleep(0.05)
    until = time.monotonic() + seconds
    n = 0
    while time.monotonic() < until:
        n += 1
        print("%s: batch %d done" % (what, n), flush=True)
        time.sleep(0.5)
    return {"batches": n}

def spin(seconds):
    until = time.monotonic() + seconds
    n = 0
    while time.monotonic() < until:
        n += 1
    return n
`;

const NIGHTLY = "i=0; while [ $i -lt 3600 ]; do i=$((i+1)); echo \"row group $i of 3600: 5000 rows\"; sleep 0.5; done";

export async function putToWork(node: Instance): Promise<Work> {
	const path = node.modules({ "shop.py": MODULE });
	const anna = await node.key("anna", { label: "laptop" }), ben = await node.key("ben");
	const csv = `${node.dir}/projects/DEMO/data/sales/sales.csv`;
	await node.python("stats:summarise", [csv], { title: "summary of sales" });
	await node.ctl("macro", "run", "clear-tmp");
	await node.ctl("macro", "run", "clear-job-logs");
	const nightly = await node.submit({ type: "command", payload: { argv: ["/bin/sh", "-c", NIGHTLY] }, title: "nightly report", tags: ["nightly"] });
	const died = await node.python("stats:eat", [4 * 2 ** 30], { title: "join of all orders", limits: { memory: "256m" } }, { key: anna });
	await node.task(died, (row) => row.state === "killed" || row.state === "failed", 60_000);
	const running = await node.python("shop:hold", [420, 3600, "customers"], { title: "import of customers", tags: ["import", "daily"] }, { key: anna, path });
	await node.python("shop:hold", [140, 3600, "features"], { title: "features for the forecast" }, { key: ben, path });
	await node.python("shop:spin", [3600], { title: "simulation, 10,000 runs" }, { key: ben, path });
	for (let i = 1; i <= 9; i++) await node.python("shop:hold", [10 * i, 3600, `part ${i}`], { title: `export, part ${i} of 9` }, { key: anna, path });
	const job = await node.build("DEMO", "revenue");
	await until("the job's end", async () => {
		const { baseStatus } = await node.api("GET", `/public/api/projects/DEMO/jobs/${job}/`);
		return baseStatus.state === "DONE" || baseStatus.state === "FAILED";
	}, 90_000);
	await node.api("PUT", "/public/api/projects/DEMO/webapps/page/backend/actions/restart");
	const kernel = await node.notebook("DEMO/exploration.ipynb");
	await node.cell(kernel, "rows = [bytearray(1 << 20) for _ in range(120)]");
	await node.notebook("DEMO/draft.ipynb");
	await node.task(running, (row) => row.state === "running");
	return { running, died, nightly, job };
}
