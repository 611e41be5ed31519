#!/usr/bin/env bash
# make demo as a newcomer meets it: after a crash, once, again while it runs, and stopped.
# Prints TAP. Runs in the copy of the tree that test/run makes.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp "${TMPDIR:-/tmp}/demo.XXXXXX")
trap 'rm -f "$out" "$out.small.gz"; make demo-stop >/dev/null 2>&1' EXIT
n=0

# ok NAME COMMAND...: passes if the command succeeds.
ok() {
	local name=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		{
			echo "not ok $n - $name"
			cat "$out"
		} | sed 's/^/# /' >&2
	fi
}
is() {
	ok "$1" test "$2" = "$3"
	[ "$2" = "$3" ] || echo "# found '$2', expected '$3'" >&2
}
refused() { ! "$@" >"$out" 2>&1; }
says() { grep -qF -- "$1" "$out"; }
silent_about() { ! says "$1"; }
query() { .demo/psql -XAtc "$1"; }

# until_true COMMAND...: polls for up to a minute.
until_true() {
	local turn
	for ((turn = 0; turn < 600; turn++)); do
		"$@" 2>/dev/null && return
		sleep 0.1
	done
	return 1
}

# Killed in the middle of the replay, so nothing could be tidied up.
setsid make demo >"$out" 2>&1 &
demo=$!
disown
until_true grep -q '10%\|11%\|12%' "$out"
kill -9 -- -$demo
until_true eval '! kill -0 -- -$demo'
server=$(head -n 1 .demo/data/postmaster.pid)
ok 'a killed demo leaves its server' kill -0 "$server"
ok 'the next one runs to its end' eval 'make demo >"$out" 2>&1'
ok '... and says that it removed the rest' says 'Removing what an earlier demo left behind'
ok '... with the server' eval '! kill -0 "$server" 2>/dev/null'
ok 'every session has its order' says 'ok      26,426 sessions, one incomplete order each'
ok 'every purchase was converted once' says 'ok      7,166 purchases, each converted exactly once'
ok 'all checks agree with the file' silent_about 'NOT OK'
ok 'the carts were abandoned and reanimated when they should' says "when its session's pauses say so"
# a session that pauses for an hour was abandoned: by awk, in seconds, from the file
is 'so many conversions came after an abandonment' "$(query "SELECT count(*) FROM incomplete_orders.order_events WHERE event = 'converted' AND status_before = 'abandoned'")" \
	"$(gzip -dc test/data/cart_events.csv.gz | awk -F, 'NR > 1 {
		split($1, t, /[-T:.+]/); now = mktime(t[1] " " t[2] " " t[3] " " t[4] " " t[5] " " t[6])
		if ($4 == "purchase" && now - last[$2] >= 3600) n++
		last[$2] = now }
		END { print n }')"
is 'some expired within the file' "$(query "SELECT count(*) > 1000 FROM incomplete_orders.closed_orders WHERE status = 'expired'")" t
ok 'it ends with how to stop it' says 'make demo-stop'

# Once more by other means: in cents, by awk.
is 'the value of all orders is that of the file' "$(query 'SELECT sum(total) * 100 FROM incomplete_orders.orders' | sed 's/\..*//')" \
	"$(gzip -dc test/data/cart_events.csv.gz | awk -F, '
		$4 == "add" { split($(NF - 1), p, "."); cents[$2] += $NF * (p[1] * 100 + substr(p[2] "00", 1, 2)) }
		$4 == "purchase" { sum += cents[$2] }
		END { printf "%d\n", sum }')"
is 'pg_cron is there' "$(query "SELECT count(*) FROM pg_extension WHERE extname = 'pg_cron'")" 1
is 'the last event is now' "$(query "SELECT max(last_activity_at) > now() - interval '1 hour' FROM incomplete_orders.incomplete_orders")" t

port=$(<.demo/port)
tcp=(psql -XAt -h 127.0.0.1 -p "$port" -U postgres -d shop -c 'SELECT 1')
is 'the password is for its owner only' "$(stat -c %a .demo/password)" 600
ok 'TCP works with the password' eval 'PGPASSWORD=$(<.demo/password) "${tcp[@]}" >"$out" 2>&1'
ok '... not with another' refused env PGPASSWORD=wrong "${tcp[@]}"
query 'CREATE ROLE somebody LOGIN' >/dev/null
ok 'the socket lets nobody in as another role' refused env PGPASSWORD=wrong psql -h "$(realpath .demo)/socket" -p "$port" -U somebody -d shop -c 'SELECT 1'

ok 'again while it runs: no failure' eval 'make demo >"$out" 2>&1'
ok '... it says so' says 'running already'
is '... and touches nothing' "$(<.demo/port) $(query 'SELECT count(*) FROM incomplete_orders.orders')" "$port 7166"

# The replay's own check must be able to fail: here every order is there already.
gzip -dc test/data/cart_events.csv.gz | head -n 300 | gzip >"$out.small.gz"
ok 'a replay that does not match its file fails' \
	refused env PGHOST="$(realpath .demo)/socket" PGPORT="$port" PGUSER=postgres PGDATABASE=shop \
	/usr/bin/python3 tools/replay.py "$out.small.gz"
ok '... and says what' says 'NOT OK'

server=$(head -n 1 .demo/data/postmaster.pid)
ok 'demo-stop' eval 'make demo-stop >"$out" 2>&1'
ok '... stops the server' until_true eval '! kill -0 "$server"'
ok '... and leaves nothing' test ! -e .demo
ok 'demo-stop without a demo is no failure' eval 'make demo-stop >"$out" 2>&1'
echo "1..$n"
