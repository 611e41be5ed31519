#!/usr/bin/env bash
# make demo as a newcomer meets it: after a crash, once, again while it runs, and stopped.
# Prints TAP. Runs in the copy of the tree that test/run makes.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp "${TMPDIR:-/tmp}/demo.XXXXXX")
trap 'rm -f "$out" "$out".*; make demo-stop >/dev/null 2>&1' EXIT
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
# the programs of the demo; those of them that still run
numbers() { cat .demo/{mail-sink,serve,send}.pid; }
gone() {
	local pid
	for pid in "$@"; do
		! kill -0 "$pid" 2>/dev/null || return
	done
}
query() { .demo/psql -XAtc "$1"; }

# until_true COMMAND...: polls for up to five minutes; a busy machine builds slowly.
until_true() {
	local turn
	for ((turn = 0; turn < 3000; turn++)); do
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
left=$(numbers)
ok 'a killed demo leaves its server' kill -0 "$server"
ok '... and its programs' eval '[ "$(wc -w <<<"$left")" = 3 ] && kill -0 $left'
ok 'the next one runs to its end' eval 'make demo >"$out" 2>&1'
cp "$out" "$out.demo"
ok '... and says that it removed the rest' says 'Removing what an earlier demo left behind'
ok '... with the server' eval '! kill -0 "$server" 2>/dev/null'
ok '... and the programs' until_true gone $left
ok 'every session has its order' says 'ok      26,426 sessions, one incomplete order each'
ok 'every purchase was converted once' says 'ok      7,166 purchases, each converted exactly once'
ok 'all checks agree with the file' silent_about 'NOT OK'
ok 'the carts were abandoned and reanimated when they should' says "when its session's pauses say so"
ok 'so say the statistics' says 'ok      statistics() says what the file says'
ok '... of each day' says 'ok      ... and statistics_by_day() of every day'
ok '... which are shown' grep -qE '^  Orders begun +26,426( |$)' "$out"
# who follows the link of a mail is played: nobody of the file does
played=$(sed -n 's/^ .* people open their last mail, .* \([0-9]*\) buy$/\1/p' "$out")
ok 'some of those who were mailed came back and bought' test "${played:-0}" -gt 20
bought=$((7166 + played))
ok 'the statistics are of all days of the replay' grep -qE "^  Bought by now +${bought/%???/,${bought: -3}}( |\$)" "$out"
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
is 'the value of all other orders is that of the file' "$(query "SELECT sum(o.total) * 100 FROM incomplete_orders.orders o
	WHERE NOT EXISTS (SELECT FROM incomplete_orders.order_events e WHERE e.order_id = o.incomplete_order_id AND e.event = 'message_clicked')" | sed 's/\..*//')" \
	"$(gzip -dc test/data/cart_events.csv.gz | awk -F, '
		$4 == "add" { split($(NF - 1), p, "."); cents[$2] += $NF * (p[1] * 100 + substr(p[2] "00", 1, 2)) }
		$4 == "purchase" { sum += cents[$2] }
		END { printf "%d\n", sum }')"
is 'pg_cron is there' "$(query "SELECT count(*) FROM pg_extension WHERE extname = 'pg_cron'")" 1
is 'the last event is now' "$(query "SELECT max(last_activity_at) > now() - interval '1 hour' FROM incomplete_orders.incomplete_orders")" t

# The dashboard, by what the demo's last lines say.
first=$(query "SELECT min(created_at)::date FROM incomplete_orders.incomplete_orders")
while IFS= read -r verdict; do
	ok "${verdict#*ok }" test "${verdict%%ok*}" = ''
done < <(PGHOST=$(realpath .demo)/socket PGPORT=$(<.demo/port) PGUSER=postgres PGDATABASE=shop \
	/usr/bin/python3 test/demo_admin.py "$out.demo" "$(<.demo/bin)/incomplete-orders" report --from="$first" --format=json 2>&1)

# The mails. The sender goes on after the replay, so both numbers may still grow.
ok 'the right people were mailed at the right time' says 'each when it should be, and sent to the right person'
ok 'the ledger says why the others were not' says 'each for the right reason, which is in the ledger once'
arrived() { find .demo/mail/ -name '*.eml' | wc -l; }
ok 'as many mails arrived as were sent' until_true eval '[ "$(arrived)" = "$(query "SELECT count(*) FROM incomplete_orders.messages WHERE status = '"'sent'"'")" ]'
is 'the first line of the index counts them' "$(awk 'NR == 1 { print ($1 > 1000), ($4 == $1) }' .demo/mail/index)" '1 1'
last=$(gzip -dc test/data/cart_events.csv.gz | tail -n 1 | cut -d , -f 2)
ok 'the messages are read from the database' eval '{
	query "SELECT last_activity_at FROM incomplete_orders.incomplete_orders WHERE session_id = '"'$last'"'"
	query "COPY (SELECT m.mail_message_id, i.session_id, m.episode, m.step, m.recipient FROM incomplete_orders.messages m
		JOIN incomplete_orders.incomplete_orders i ON (i.shop_id, i.id) = (m.shop_id, m.order_id)
		WHERE m.mail_message_id IS NOT NULL) TO STDOUT (FORMAT csv)"; } >"$out.messages"'
while IFS= read -r verdict; do
	ok "${verdict#*ok }" test "${verdict%%ok*}" = ''
done < <(/usr/bin/python3 test/demo_mails.py .demo/mail test/data/cart_events.csv.gz "$out.messages" 2>&1)

# The saved mail's link, followed as a person does.
ok 'one mail is kept at a fixed place, with its HTML part' eval 'grep -q "^List-Unsubscribe: " .demo/example.eml && grep -qi "<html" .demo/example.html'
link=$(<.demo/example.link)
example=$(sed -n 's/^Message-ID: *\(<.*>\).*/\1/Ip' .demo/example.eml)
state() {
	query "SELECT o.status, o.episode - m.episode, o.recovery_attempts > 0 FROM incomplete_orders.messages m
		JOIN incomplete_orders.open_orders o ON (o.shop_id, o.id) = (m.shop_id, m.order_id) WHERE m.mail_message_id = '$example'"
}
# http METHOD URL: the status; the page is in $out. Form as the page's own button sends it.
http() {
	/usr/bin/python3 - "$@" >"$out" 2>"$out.status" <<'END'
import sys, urllib.request, urllib.error
method, url = sys.argv[1:]
request = urllib.request.Request(url, method=method, data=b"" if method == "POST" else None,
    headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Accept": "text/html"})
try:
    answer = urllib.request.urlopen(request, timeout=20)
except urllib.error.HTTPError as error:
    answer = error
sys.stdout.buffer.write(answer.read())
print(answer.status, file=sys.stderr)
END
	cat "$out.status"
}
is 'its cart is still abandoned' "$(state)" 'abandoned|0|t'
is 'its link answers' "$(http GET "$link")" 200
ok '... with a page about the cart that names nobody' eval 'grep -q "<form" "$out" && ! grep -q "visitor-" "$out"'
is '... to look is not to come back' "$(state)" 'abandoned|0|t'
is '... its button answers' "$(http POST "$link")" 200
is '... and the cart is back, in its next episode' "$(state)" 'pending|1|t'
unsubscribe=$(/usr/bin/python3 -c 'import email.policy, sys
print(email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)["List-Unsubscribe"].strip("<>"))' <.demo/example.eml)
is 'the address in List-Unsubscribe takes a POST' "$(http POST "$unsubscribe")" 200
is '... and that person is mailed no more' "$(query "SELECT string_agg(reason, ',') FROM incomplete_orders.suppressions")" unsubscribed
is 'a link that nobody made leads nowhere' "$(http GET "${link%/*}/$(printf 'A%.0s' {1..43})")" 404

# What the demo says one can try, word for word.
ok 'the demo says how to mail yourself' eval '.demo/psql -c "SELECT 1" >/dev/null && make demo >"$out" 2>&1 && grep -q "^  .demo/psql -c " "$out"'
grep '^  .demo/psql -c ' "$out" >"$out.try"
ok '... which works' eval 'bash -e "$out.try" >"$out" 2>&1'
ok '... and the mail comes' until_true grep -q 'me@example.com .*' .demo/mail/index

port=$(<.demo/port)
tcp=(psql -XAt -h 127.0.0.1 -p "$port" -U postgres -d shop -c 'SELECT 1')
is 'the password is for its owner only' "$(stat -c %a .demo/password)" 600
ok 'TCP works with the password' eval 'PGPASSWORD=$(<.demo/password) "${tcp[@]}" >"$out" 2>&1'
ok '... not with another' refused env PGPASSWORD=wrong "${tcp[@]}"
query 'CREATE ROLE somebody LOGIN' >/dev/null
ok 'the socket lets nobody in as another role' refused env PGPASSWORD=wrong psql -h "$(realpath .demo)/socket" -p "$port" -U somebody -d shop -c 'SELECT 1'

ok 'again while it runs: no failure' eval 'make demo >"$out" 2>&1'
ok '... it says so' says 'running already'
is '... and touches nothing' "$(<.demo/port) $(query 'SELECT count(*) FROM incomplete_orders.orders')" "$port $bought"

# The replay's own check must be able to fail: here every order is there already.
gzip -dc test/data/cart_events.csv.gz | head -n 300 | gzip >"$out.small.gz"
ok 'a replay that does not match its file fails' \
	refused env PGHOST="$(realpath .demo)/socket" PGPORT="$port" PGUSER=postgres PGDATABASE=shop \
	/usr/bin/python3 tools/replay.py "$out.small.gz"
ok '... and says what' says 'NOT OK'

server=$(head -n 1 .demo/data/postmaster.pid)
left=$(numbers)
folder=$(realpath .demo)
ok 'demo-stop' eval 'make demo-stop >"$out" 2>&1'
ok '... stops the server' until_true eval '! kill -0 "$server"'
ok '... and its programs' until_true gone $left
# (the brackets: not the grep itself)
ok '... and leaves no process' eval '! grep -lsqz "$folder[/]" /proc/[0-9]*/cmdline'
ok '... and no file' test ! -e .demo -a ! -L .demo -a ! -e "$folder"
ok 'demo-stop without a demo is no failure' eval 'make demo-stop >"$out" 2>&1'
echo "1..$n"
