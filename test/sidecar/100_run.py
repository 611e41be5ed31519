"""incomplete-orders run: serve, send and tick live and die together."""
import tempfile

from resting import *

mails = tempfile.mkdtemp(prefix='run-')


def children(program):
    lines = subprocess.run(['ps', '-o', 'pid=,pgid=,args=', '--ppid', str(program.process.pid)], capture_output=True, text=True).stdout.splitlines()
    return {line.split()[3]: (int(line.split()[0]), int(line.split()[1])) for line in lines if len(line.split()) > 3}


def family(*options, **more):
    program = Program('run', '--listen=127.0.0.1:0', f'--save={mails}', '--from=shop@shop.example', *options, **more)
    program.said('listen=')
    program.said('event=start .*every=')
    program.said('event=start .*sent=')
    wait_for(lambda: len(children(program)) == 3)
    return program


with family('--every=1s', '--serve=--pool=2 --access-log=all', '--tick=--verbose') as program:
    host, port = program.said(r'listen=(\S+):(\d+)').groups()
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    connection.request('GET', '/healthz')
    same(connection.getresponse().status, 200, 'run: serves')
    connection.close()
    program.said('event=tick')
    ok(True, 'run: ticks')
    program.said('event=request')
    ok(True, 'run: further options reach their command')
    of = children(program)
    same(sorted(of), ['send', 'serve', 'tick'], 'run: three children')
    same(len({group for _, group in of.values()}), 1, 'run: in one process group')
    ok(program.process.pid not in {group for _, group in of.values()}, 'run: of their own')
    same(program.end(), 0, 'run: asked to stop, it exits with 0')
    ok(not any(os.path.exists(f'/proc/{pid}') for pid, _ in of.values()), 'run: and nobody is left')
    same(program.log.count('event=stop'), 4, 'run: all said goodbye')

for victim in 'serve', 'send', 'tick':
    with family() as program:
        of = children(program)
        os.kill(of[victim][0], signal.SIGKILL)
        same(program.end(None), 137, f'run: {victim} is killed: exit code')
        like(program.log, rf'level=error event=child command={victim} exit=137', f'run: {victim} is killed: said')
        ok(not any(os.path.exists(f'/proc/{pid}') for pid, _ in of.values()), f'run: {victim} is killed: nobody is left')
with family() as program:
    of = children(program)
    os.kill(of['tick'][0], signal.SIGTERM)
    same(program.end(None), 70, 'run: one that ends by itself, without an error')
with family() as program:
    of = children(program)
    program.end(signal.SIGKILL)
    ok(wait_for(lambda: not any(os.path.exists(f'/proc/{pid}') for pid, _ in of.values())), 'run: killed itself: nobody is left')
for options, code, says in (['--every=0'], 64, 'every'), (['--serve="'], 64, '--serve'), (['--send=--nosuch'], 64, 'nosuch'):
    program = Program('run', '--listen=127.0.0.1:0', f'--save={mails}', '--from=shop@shop.example', *options)
    same(program.end(None), code, f'run {options}: exit code')
    like(program.log, says, f'run {options}: says why')
program = Program('run', '--listen=127.0.0.1:0')
same(program.end(None), 64, 'run without a mail server: exit code')
like(program.log, 'says where mails go', 'run without a mail server: says why')
path = os.path.join(mails, 'notify')
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.bind(path)
    notify.settimeout(PATIENCE)
    with family(environment={'NOTIFY_SOCKET': path, 'WATCHDOG_USEC': '200000'}) as program:
        seen = ''
        while 'WATCHDOG=1' not in seen:
            seen += notify.recv(4096).decode() + '\n'
        same(seen.count('READY=1'), 1, 'run: the service manager hears of it once')
        program.end()
        while 'STOPPING=1' not in seen:
            seen += notify.recv(4096).decode() + '\n'
        ok(True, 'run: ... and that it stops')
os.unlink(path)
os.rmdir(mails)
say('done')
