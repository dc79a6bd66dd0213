# What bench/futures.sh runs: an instance, Redis with Celery, nginx; all on ports of their own, all ended with the bench.
# shellcheck shell=sh
QUEUES=8
PATH=$PATH:$peers/usr/sbin

share=$PWD
programs=$ours
# As root the daemon's users have to reach what they run.
if [ "$(id -u)" = 0 ] && ! setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'test -x "$1" && test -x "$2"' sh "$ours/dssd" "$share/lua"; then
	prefix=$(mktemp -d /tmp/dss-bench-home.XXXXXX)
	chmod 755 "$prefix"
	sh etc/install.sh "" "$prefix" "$ours" >/dev/null
	cp "$bin/futures_kernel" "$prefix/bin/"
	programs=$prefix/bin share=$prefix/share/dssd
fi
export DSS_SHARE="$share"
tiny=$programs/futures_kernel
[ -x "$tiny" ] || tiny=$bin/futures_kernel

# --- an instance ---

node_start() { # name, policies on standard input
	node=$work/$1
	chmod 755 "$work"
	"$programs/dssctl" init "$node" --port 0 >/dev/null
	rm -f "$node"/policies/*.lua # shipped limits are not measured here
	cat >"$node/policies/10-pools.lua"
	"$node/bin/dss" start >/dev/null || bench_fail "the instance did not start: $(tail -n 5 "$node/run/backend.log")"
	trap 'node_end; work_end; [ -z "${prefix:-}" ] || rm -rf "$prefix"' EXIT
	port=$(sed 's/.*"page":\([0-9]*\).*/\1/' "$node/run/ports.json")
	key=$(cat "$node/config/admin.key")
}
node_end() {
	[ -z "${node:-}" ] || "$node/bin/dss" stop --now >/dev/null 2>&1 || echo "bench: the instance did not stop" >&2
	node=""
}
node_pid() { "$node/bin/dss" status --json | awk -v name="\"$1\"," '$1 == "\"name\":" { is_it = $2 == name } is_it && $1 == "\"pid\":" { print $2 + 0; exit }'; }
ask() { curl -s -H "Authorization: Bearer $key" "$@"; }
# Kernels that are ready, idle or busy, of all pools.
node_await() {
	tries=0
	until [ "$(ask "http://127.0.0.1:$port/api/pools" | tr ',' '\n' | awk -F: '/^"(idle|busy)"/ { n += $2 } END { print n + 0 }')" -ge "$1" ]; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || bench_fail "there are no $1 kernels: $(tail -n 5 "$node/run/backend.log")"
		sleep 0.1
	done
}
# node_await_busy N TENTHS: that many kernels of one pool are at work.
node_await_busy() {
	tries=0
	until ask "http://127.0.0.1:$port/api/pools" | grep -q "\"busy\":$1,"; do
		tries=$((tries + 1))
		[ $tries -lt "$2" ] || bench_fail "not all of $1 kernels are at work: $(ask "http://127.0.0.1:$port/api/pools")"
		sleep 0.1
	done
}

node_begin() {
	{
		printf 'pool "bench" {\n  kernel = python { path = { "%s" } },\n  limits = { memory = "512m", swap = "0" },\n' "$share/kernels/python/tasks"
		printf '  warm = { min = 2, max = 2 }, max = 2,\n  recycle = { after_tasks = 1000000000 },\n}\n'
		# kernels that never get ready: what is sent there waits
		for i in $(seq 0 $((QUEUES - 1))); do
			printf 'pool "queue%d" { kernel = command { "/bin/sleep", "1000000" }, limits = { memory = "64m", swap = "0" }, warm = { min = 0, max = 1 }, max = 1, ready_within = "1h", recycle = { after_tasks = 1 } }\n' "$i"
		done
	} >"$work/pools"
	node_start node <"$work/pools"
}

# --- tasks ---

body() { printf '%s\n' "$2" >"$work/$1.json"; } # name, JSON
load() { # mode, body, connections, count
	"$bin/futures_load" "$1" "$port" "$node/config/admin.key" "$work/$2.json" "$3" "$4"
}

# Runs one task; prints the path of its state in the public API.
load_one() {
	id=$(ask -d "@$work/$1.json" "http://127.0.0.1:$port/api/futures" | sed 's/.*"jobId":"\([^"]*\)".*/\1/')
	ask "http://127.0.0.1:$port/api/futures/$id?wait=30" >/dev/null
	echo "/public/api/futures/$id?peek=True"
}

# --- many kernels ---

many_pool() {
	printf 'pool "tiny" { kernel = command { "%s" }, limits = { memory = "16m", swap = "0" }, warm = { min = %d, max = %d }, max = %d, recycle = { after_tasks = 100 } }\n' \
		"$tiny" "$1" "$1" "$1" >"$work/many"
	cat "$work/many" >"$node/policies/10-pools.lua"
}
many_begin() {
	printf 'pool "tiny" { kernel = command { "%s" }, limits = { memory = "64m", swap = "0" }, warm = { min = 1, max = 1 }, max = 1 }\n' "$tiny" >"$work/first"
	node_start hundreds <"$work/first"
}
many_tasks() {
	body tiny '{"type":"command","pool":"tiny","payload":{"argv":["true"]}}'
	load submit tiny 32 "$1" >/dev/null
	node_await_busy "$1" 600
	sleep 2
}
pss_kb() { awk '/^Pss:/ { s += $2 } END { print s + 0 }' "/proc/$1/smaps_rollup"; }
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
# share_of SECONDS: "backend both", per cent of a core.
share_of() {
	b=$(node_pid backend) k=$(cut -d' ' -f4 "/proc/$(node_pid backend)/stat")
	b0=$(ticks "$b") k0=$(ticks "$k")
	sleep "$1"
	b1=$(ticks "$b") k1=$(ticks "$k")
	awk -v b="$((b1 - b0))" -v k="$((k1 - k0))" -v s="$1" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f %.1f\n", 100 * b / hz / s, 100 * (b + k) / hz / s }'
}

# --- what a task costs; on a machine with other work it says more than the clock ---

kernel_pids() { ps -o pid=,args= --ppid "$(cut -d' ' -f4 "/proc/$(node_pid backend)/stat")" | awk '/DSSFutureKernelMain/ { print $1 }'; }
cpu_us() { for pid; do cat "/proc/$pid"/task/*/schedstat; done | awk '{ n += $1 } END { printf "%d", n / 1000 }'; }
commits() { ask "http://127.0.0.1:$port/metrics" | awk '/^[a-z_]*store_commits_total / { print $2 }'; }
# cost_of TASKS COMMAND…: its output; notes what each task took in backend, kernels, keeper and commits.
cost_of() {
	n=$1
	shift
	b=$(node_pid backend) k=$(kernel_pids)
	# shellcheck disable=SC2086
	was="$(cpu_us "$b") $(cpu_us $k) $(cpu_us "$(cut -d' ' -f4 "/proc/$b/stat")") $(commits)"
	"$@"
	# shellcheck disable=SC2086
	echo "$was $(cpu_us "$b") $(cpu_us $k) $(cpu_us "$(cut -d' ' -f4 "/proc/$b/stat")") $(commits)" |
		awk -v n="$n" -v to="$work/cost" '{ print ($5 - $1) / n >> (to ".backend"); print ($6 - $2) / n >> (to ".kernels"); print ($7 - $3) / n >> (to ".keeper"); print ($8 - $4) / n >> (to ".commits") }'
}
cost() { median <"$work/cost.$1" | awk -v form="$2" '{ printf form, $1 }'; }

# --- peers ---

has_celery() { [ -z "${BENCH_NO_PEERS:-}" ] && command -v redis-server >/dev/null && /usr/bin/python3 -c 'import celery, redis' 2>/dev/null; }
has_nginx() { [ -z "${BENCH_NO_PEERS:-}" ] && command -v nginx >/dev/null; }

redis_begin() {
	has_celery || return 0
	mkdir -p "$work/redis"
	launch TERM redis-server --port 0 --unixsocket "$work/redis/socket" --dir "$work/redis" --appendonly yes --appendfsync always --save ''
	export BENCH_REDIS="redis+socket://$work/redis/socket" C_FORCE_ROOT=1 PYTHONDONTWRITEBYTECODE=1
	launch TERM env PYTHONPATH="$PWD/bench:${PYTHONPATH:-}" /usr/bin/python3 -m celery -A futures_celery worker -c 2 -l error --without-gossip --without-mingle
}
celery_measure() { PYTHONPATH="$PWD/bench:${PYTHONPATH:-}" timeout 300 /usr/bin/python3 bench/futures_celery.py "$@"; }

nginx_begin() {
	has_nginx || return 0
	nginx_port=$((20000 + $$ % 20000))
	cat >"$work/nginx.conf" <<-END
		daemon off;
		pid $work/nginx.pid;
		error_log $work/nginx.err;
		worker_processes 1;
		user root;
		events { worker_connections 512; }
		http {
		  access_log off;
		  keepalive_requests 100000000;
		  sendfile on;
		  client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3; uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
		  server { listen 127.0.0.1:$nginx_port; root $work/www; default_type application/json; }
		}
	END
	launch TERM nginx -c "$work/nginx.conf" -e "$work/nginx.err"
}
