# How each peer is told to run N copies of bench/ping. Programs from bench/peers.sh need their libraries and modules named.
# shellcheck shell=sh
if [ -d "$peers/usr" ]; then
	for dir in "$peers"/usr/lib/*-linux-gnu "$peers"/lib/*-linux-gnu; do
		[ ! -d "$dir" ] || LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$dir
	done
	[ -z "${LD_LIBRARY_PATH:-}" ] || export LD_LIBRARY_PATH
	export PYTHONPATH="$peers/usr/lib/python3/dist-packages${PYTHONPATH:+:$PYTHONPATH}"
fi
export PATH

has_supervisord() { [ -z "${BENCH_NO_PEERS:-}" ] && command -v supervisord >/dev/null; }
has_s6() { [ -z "${BENCH_NO_PEERS:-}" ] && command -v s6-svscan >/dev/null; }
has_runit() { [ -z "${BENCH_NO_PEERS:-}" ] && command -v runsvdir >/dev/null; }

supervisord_conf() { # folder, n, fifo: with a log of its own for each, which is what supervisord does by itself
	mkdir -p "$1/log"
	cat >"$1/conf" <<-END
		[supervisord]
		logfile=$1/supervisord.log
		pidfile=$1/supervisord.pid
		childlogdir=$1/log
		minfds=4096
		[program:ping]
		command=$bin/ping $3
		process_name=ping-%(process_num)d
		numprocs=$2
		startsecs=0
		autorestart=true
		stopsignal=KILL
	END
}

s6_env() { [ "$1" != s6-ready ] || echo BENCH_READY_FD=3; }

s6_dir() { # folder, n, kind: no logs
	mkdir -p "$1"
	i=0
	while [ "$i" -lt "$2" ]; do
		mkdir "$1/ping-$i"
		ln -s "$bin/ping" "$1/ping-$i/run"
		[ "${3:-s6}" != s6-ready ] || echo 3 >"$1/ping-$i/notification-fd"
		i=$((i + 1))
	done
}

runit_dir() { s6_dir "$1" "$2"; }
