"""What mail services tell `serve` of messages: signed with the shop's secret, or by
Amazon SNS.  Python's own hmac and http.client are the other side."""
import base64
import datetime
import glob
import hashlib
import hmac
import http.client

from sending import *

ROOT = '/api/v1/incomplete-orders/'
HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, 'data', 'sns')
MESSAGE = '01a204d2-1b9b-71d7-8000-00006221ac45'
TOPIC = 'arn:aws:sns:eu-west-1:123456789012:mails'


def prepare():
    sql('CREATE EXTENSION incomplete_orders')
    sql('SELECT incomplete_orders.setup()')
    sql("SELECT incomplete_orders.create_shop('other', 'Other')")
    sql('CREATE ROLE pages LOGIN')
    sql("SELECT incomplete_orders.grant_to('pages', 'app')")
    make_message(MESSAGE, 'jane@example.com', 'default')


def make_message(message, recipient, shop):
    """A message that was sent, of an order that was abandoned."""
    cart = '[{"sku": "A", "quantity": 1, "unit_price": "5"}]'
    order = one('SELECT incomplete_orders.capture_cart(%s, %s, email => %s, shop => %s)', message, cart, recipient, shop)
    sql('SELECT incomplete_orders.mark_abandoned(%s)', order)
    sql("""INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, order_id, root_id, episode, step, ordinal, message_type, template, recipient,
            queued_at, give_up_at, sent_at, mail_message_id)
        SELECT incomplete_orders.shop_of(o), %s, now(), 'sent', o, o, 1, 1, 0, 'abandoned_cart', 'cart_abandoned', %s, now(), now() + interval '5 days', now(),
            '<' || %s || '@shop.example>' FROM (SELECT %s::uuid AS o) x""", message, recipient, message, order)


class Server:
    def __init__(self, *arguments, clock=None):
        environment = {**os.environ, 'PGUSER': 'pages', 'TZ': 'UTC'}
        if clock:
            environment.update(LD_PRELOAD=os.environ['FAKETIME_LIBRARY'], FAKETIME='@' + clock, FAKETIME_DONT_FAKE_MONOTONIC='1', DONT_FAKE_MONOTONIC='1')
        self.process = subprocess.Popen(['incomplete-orders', 'serve', '--listen=127.0.0.1:0', *arguments], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, env=environment)
        self.err = ''
        threading.Thread(target=self.read, daemon=True).start()
        wait_for(lambda: 'event=start' in self.err or self.process.poll() is not None)
        found = re.search(r'event=start .*listen=(\S+)', self.err)
        self.address = found.group(1) if found else None

    def read(self):
        for line in self.process.stderr:
            self.err += line

    def post(self, path, body, **headers):
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        connection.request('POST', ROOT + path, body if isinstance(body, bytes) else body.encode(), {k.replace('_', '-'): v for k, v in headers.items()})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data) if data else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def facts(message=MESSAGE):
    """Which instants the message has."""
    row = sql('SELECT delivered_at, opened_at, clicked_at, replied_at, bounced_at, complained_at, unsubscribed_at FROM incomplete_orders.messages WHERE id = %s', message)[0]
    names = 'delivered opened clicked replied bounced complained unsubscribed'.split()
    return ' '.join(n for n, v in zip(names, row) if v is not None)


def events(message=MESSAGE):
    return [tuple(r) for r in sql("""SELECT event, machine, reason_code FROM incomplete_orders.order_events
        WHERE message_id = %s AND event LIKE 'message\\_%%' ORDER BY event_id""", message)]


def suppressed():
    return [r[0] for r in sql('SELECT DISTINCT reason FROM incomplete_orders.suppressions ORDER BY 1')]


def forget():
    sql('DELETE FROM incomplete_orders.suppressions')
    sql("DELETE FROM incomplete_orders.order_events WHERE event LIKE 'message\\_%%'")
    sql('UPDATE incomplete_orders.messages SET delivered_at = NULL, opened_at = NULL, clicked_at = NULL, replied_at = NULL, bounced_at = NULL,'
        ' complained_at = NULL, unsubscribed_at = NULL')


def signed(secret, body, at=None, webhook_id=None, form='v1'):
    """As the README says, in Python."""
    key = base64.b64decode(secret.removeprefix('whsec_'))
    stamp = str(int(time.time() if at is None else at))
    text = '.'.join(([webhook_id] if webhook_id else []) + [stamp, body])
    mac = hmac.new(key, text.encode(), hashlib.sha256)
    headers = {'webhook_timestamp': stamp,
               'webhook_signature': 'v1,' + base64.b64encode(mac.digest()).decode() if form == 'v1' else 'sha256=' + mac.hexdigest()}
    if webhook_id:
        headers['webhook_id'] = webhook_id
    return headers


def generic():
    secret = one("SELECT incomplete_orders.rotate_mail_secret()")
    other = one("SELECT incomplete_orders.rotate_mail_secret('other')")
    with Server() as server:
        tell = lambda body, path='email-webhook/', **headers: server.post(path, body, **{'content_type': 'application/json', **headers})
        event = lambda what, **more: json.dumps({'message_id': f'<{MESSAGE}@shop.example>', 'event': what, **more})
        body = event('delivered')
        same(tell(body, **signed(secret, body)), (200, {'recorded': 1, 'known': 0, 'unknown': 0}), 'an event that is signed is recorded')
        same(facts(), 'delivered', 'and stands with the message')
        same(tell(body, **signed(secret, body)), (200, {'recorded': 0, 'known': 1, 'unknown': 0}), 'told again it changes nothing')
        body = json.dumps({'events': [json.loads(event('opened', machine=True)), {'message_id': MESSAGE, 'event': 'clicked'}, {'message_id': MESSAGE, 'event': 'replied'},
                                      {'message_id': 'somebody-elses', 'event': 'opened'}, {'message_id': '00000000-0000-0000-0000-000000000000', 'event': 'opened'}]})
        same(tell(body, **signed(secret, body, form='hex')), (200, {'recorded': 3, 'known': 0, 'unknown': 2}), 'several at once, by id and Message-ID; what is not ours is counted')
        same(facts(), 'delivered clicked replied', 'what a machine opened has no instant')
        ok(('message_opened', True, None) in events(), 'and is recorded as a machine\'s')
        body = event('bounced', permanent=False)
        same((tell(body, **signed(secret, body, webhook_id='evt_1'))[0], suppressed()), (200, []), 'a soft bounce suppresses nothing; with webhook-id')
        body = event('bounced')
        same((tell(body, **signed(secret, body))[0], suppressed()), (200, ['hard_bounce']), 'a hard one does')
        body = event('unsubscribed')
        same((tell(body, **signed(secret, body))[0], suppressed()), (200, ['unsubscribed']), 'unsubscribed')
        body = event('complained')
        same((tell(body, **signed(secret, body))[0], suppressed()), (200, ['complaint']), 'complained')

        forget()
        body = event('complained')
        good = signed(secret, body)
        detail = lambda answer: (answer[0], answer[1].get('detail'))
        forged = 401, 'The signature is not that of this body.'
        unsigned = 401, 'The headers webhook-timestamp and webhook-signature must come with it.'
        stale = 401, 'It is older than five minutes, or of the future.'
        flip = lambda text: text[:-6] + ('A' if text[-6] != 'A' else 'B') + text[-5:]
        for name, wanted, answer in (
                ('without headers', unsigned, tell(body)),
                ('without a timestamp', unsigned, tell(body, webhook_signature=good['webhook_signature'])),
                ('without a signature', unsigned, tell(body, webhook_timestamp=good['webhook_timestamp'])),
                ('with an empty signature', unsigned, tell(body, webhook_timestamp=good['webhook_timestamp'], webhook_signature='')),
                ('with a timestamp that is none', unsigned, tell(body, webhook_timestamp='1e9', webhook_signature=good['webhook_signature'])),
                ('one bit of the signature is another', forged, tell(body, **{**good, 'webhook_signature': flip(good['webhook_signature'])})),
                ('a signature cut short', forged, tell(body, **{**good, 'webhook_signature': good['webhook_signature'][:-8]})),
                ('a signature of nothing', forged, tell(body, **{**good, 'webhook_signature': 'v1,'})),
                ('another timestamp than was signed', forged, tell(body, **{**good, 'webhook_timestamp': str(int(good['webhook_timestamp']) + 1)})),
                ('another body than was signed', forged, tell(body + ' ', **good)),
                ('a body cut short', forged, tell(body[:-1], **good)),
                ('an id that was not signed', forged, tell(body, webhook_id='evt_2', **good)),
                ('the secret of another shop', forged, tell(body, **signed(other, body))),
                ('of the shop\'s own, told to another shop', forged, tell(body, 'email-webhook/?shop=other', **good)),
                ('told to a shop that is not there', forged, tell(body, 'email-webhook/?shop=nowhere', **good)),
                ('told to a shop where the role has no right', forged, tell(body, 'email-webhook/?shop=closed', **good)),
                ('six minutes old', stale, tell(body, **signed(secret, body, time.time() - 360))),
                ('six minutes early', stale, tell(body, **signed(secret, body, time.time() + 360)))):
            same(detail(answer), wanted, name + ': refused')
        same((facts(), suppressed()), ('', []), 'none of them changed anything')
        same(tell(body, **signed(secret, body, time.time() - 280))[0], 200, 'nearly five minutes old: taken')
        forget()
        same(tell(body, 'email-webhook/?shop=other', **signed(other, body)), (200, {'recorded': 0, 'known': 0, 'unknown': 1}), 'a message of another shop is unknown')
        same((facts(), suppressed()), ('', []), 'and nothing happens to it')
        for name, body in (('no JSON', 'hello'), ('cut JSON', '{"message_id": "x", "event": "ope'), ('a number', '5'), ('an unknown event', event('eaten')), ('no event', '{"message_id": "x"}'),
                           ('machine is a word', event('opened', machine='yes')), ('an event in an event', json.dumps([[1]])), ('nothing', ''),
                           ('deep', '[' * 20000), ('many', json.dumps([{'message_id': MESSAGE, 'event': 'opened'}] * 1001))):
            status, answer = tell(body, **signed(secret, body))
            ok(status == 400 or status == 422, name + ': malformed', status, answer)
            unlike(json.dumps(answer), 'SELECT|incomplete_orders\\.', name + ': no SQL is told')
        status, _ = tell(b'{"message_id": "\xff", "event": "opened"}', **signed(secret, 'x'))
        ok(status in (400, 401, 422), 'what is not UTF-8', status)
        new = one('SELECT incomplete_orders.rotate_mail_secret()')
        body = event('delivered')
        same([tell(body, **signed(s, body))[0] for s in (secret, new)], [200, 200], 'the secret before and the new one are good')
        sql("UPDATE incomplete_orders.shop_secrets SET former_until = now() - interval '1 second'")
        same([tell(body, **signed(s, body))[0] for s in (secret, new)], [401, 200], 'the one before for a day')
        same(server.post('email-webhook/ses/', '{}')[0], 404, 'without a certificate SNS is not listened to')
        unlike(server.err, 'whsec|jane@', 'no secret and no address is logged')


def vector(name):
    with open(os.path.join(VECTORS, name)) as file:
        return json.load(file)


def resigned(told, **changes):
    """With other contents, signed by the tests' key: openssl is the other side."""
    told = {**told, **changes}
    names = ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type'] if told['Type'] == 'Notification' else \
        ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type']
    text = ''.join(f'{n}\n{told[n]}\n' for n in names if n in told)
    made = subprocess.run(['openssl', 'dgst', '-sha1' if told['SignatureVersion'] == '1' else '-sha256', '-sign', os.path.join(VECTORS, 'key.pem')],
                          input=text.encode(), capture_output=True, check=True)
    return {**told, 'Signature': base64.b64encode(made.stdout).decode()}


def amazon():
    forget()
    options = '--sns-certificate=' + os.path.join(VECTORS, 'certificate.pem'), f'--sns-topics=arn:aws:sns:eu-west-1:123456789012:else, {TOPIC}'
    with Server(*options, clock='2026-11-22 12:05:00') as server:
        tell = lambda told: server.post('email-webhook/ses/', json.dumps(told) if isinstance(told, dict) else told, content_type='text/plain; charset=UTF-8',
                                        x_amz_sns_message_type='Notification')
        fresh, known = (200, {'recorded': 1, 'known': 0, 'unknown': 0}), (200, {'recorded': 0, 'known': 1, 'unknown': 0})
        same([tell(vector('delivery_v1.json')), facts()], [fresh, 'delivered'], 'delivery, signature version 1')
        same([tell(vector('delivery_v1.json')), facts()], [known, 'delivered'], 'replayed: it changes nothing')
        same([tell(vector('click_v2.json')), facts()], [fresh, 'delivered clicked'], 'click, signature version 2')
        same([tell(vector('open_by_machine_v2.json')), facts()], [fresh, 'delivered clicked'], 'opened by a machine: no instant')
        same([tell(vector('soft_bounce_v2.json')), facts(), suppressed()], [fresh, 'delivered clicked bounced', []], 'a bounce for now suppresses nothing')
        same([tell(vector('bounce_v2.json')), suppressed()], [fresh, ['hard_bounce']], 'one for good does')
        same([tell(vector('complaint_v1.json')), suppressed()], [fresh, ['complaint']], 'a complaint; found by commonHeaders')
        same(events(), [('message_delivered', None, None), ('message_clicked', False, None), ('message_opened', True, None), ('message_bounced', None, 'soft_bounce'),
                        ('message_bounced', None, 'hard_bounce'), ('message_complained', None, None)], 'the history has each once')
        forget()
        complaint, bounce = vector('complaint_v1.json'), vector('bounce_v2.json')
        detail = lambda answer: (answer[0], answer[1].get('detail'))
        forged, foreign, malformed = (401, 'The signature is not that of this message.'), (403, 'Its topic is none of --sns-topics.'), (400, 'It is no message of Amazon SNS.')
        stale = 401, 'It is older than two hours, or of the future.'
        signature = base64.b64decode(bounce['Signature'])
        without = lambda told, name: {k: v for k, v in told.items() if k != name}
        for name, wanted, told in (
                ('another message than was signed', forged, {**bounce, 'Message': bounce['Message'].replace('Permanent', 'permanent')}),
                ('another topic than was signed', forged, {**bounce, 'TopicArn': 'arn:aws:sns:eu-west-1:123456789012:else'}),
                ('another instant than was signed', forged, {**bounce, 'Timestamp': '2026-11-22T12:00:00.001Z'}),
                ('a subject that was not signed', forged, {**bounce, 'Subject': 'Hello'}),
                ('the subject that was signed is missing', forged, without(vector('delivery_v1.json'), 'Subject')),
                ('one bit of the signature is another', forged, {**bounce, 'Signature': base64.b64encode(bytes([signature[0] ^ 1]) + signature[1:]).decode()}),
                ('a signature cut short', forged, {**bounce, 'Signature': base64.b64encode(signature[:-1]).decode()}),
                ('a signature that is none', forged, {**bounce, 'Signature': '!!!'}),
                ('an empty signature', forged, {**bounce, 'Signature': ''}),
                ('no signature', forged, without(bounce, 'Signature')),
                ('version 2 said to be 1', forged, {**bounce, 'SignatureVersion': '1'}),
                ('version 1 said to be 2', forged, {**complaint, 'SignatureVersion': '2'}),
                ('a version that is not there', forged, {**bounce, 'SignatureVersion': '0'}),
                ('no version', forged, without(bounce, 'SignatureVersion')),
                ('a topic of somebody else, truly signed', foreign, resigned(bounce, TopicArn='arn:aws:sns:eu-west-1:999999999999:mails')),
                ('a topic that only begins like ours', foreign, resigned(bounce, TopicArn=TOPIC + '-2')),
                ('older than two hours', stale, resigned(bounce, Timestamp='2026-11-22T10:04:59.000Z')),
                ('of the future', stale, resigned(bounce, Timestamp='2026-11-22T12:10:01.000Z')),
                ('an instant that is none', stale, resigned(bounce, Timestamp='now')),
                ('no message', malformed, without(bounce, 'Message')),
                ('no type', malformed, without(bounce, 'Type')),
                ('another type', malformed, {**bounce, 'Type': 'Advertisement'}),
                ('a message that is no text', malformed, {**bounce, 'Message': {'a': 1}}),
                ('an array', malformed, '[1]'), ('no JSON', malformed, 'hello'), ('cut short', malformed, json.dumps(bounce)[:-20]),
                ('a name twice', malformed, json.dumps(bounce)[:-1] + ', "Type": "Notification"}')):
            same(detail(tell(told)), wanted, name + ': refused')
        same((facts(), suppressed(), events()), ('', [], []), 'none of them changed anything')
        unknown = 200, {'recorded': 0, 'known': 0, 'unknown': 1}
        same(tell(resigned(bounce, Message=bounce['Message'].replace(MESSAGE, '01a204d2-1b9b-71d7-8000-00006221ac46'))), unknown, 'a message that is not ours: counted')
        same(tell(resigned(bounce, Message='Successfully validated SNS topic for Amazon SES event publishing.')), unknown, 'what SES says in words: counted')
        same(tell(resigned(bounce, Message=json.dumps({'eventType': 'Send', 'mail': {}}))), (200, {'recorded': 0, 'known': 0, 'unknown': 0}), 'another kind of event: nothing')
        same(tell(resigned(bounce, Message=json.dumps({'notificationType': 'Bounce'})))[0], 200, 'an event without a mail')
        same(tell(resigned(vector('subscription_v2.json'), Type='UnsubscribeConfirmation'))[0], 200, 'the end of a subscription')
        same(tell(vector('subscription_v2.json')), (200, {'confirmed': False}), 'a subscription is not confirmed')
        like(server.err, r'event=sns_subscription url="?https://sns\.eu-west-1\.amazonaws\.com/\?Action=ConfirmSubscription', 'but its address is logged')
        same(detail(tell(vector('subscription_elsewhere_v1.json'))), (403, 'SubscribeURL is not an address of Amazon SNS.'), 'an address that only begins like Amazon\'s')
        for url in ('http://sns.eu-west-1.amazonaws.com/', 'https://sns.eu-west-1.amazonaws.com@evil.example/', 'https://evil.example/https://sns.eu-west-1.amazonaws.com/',
                    'https://sns.eu-west-1.amazonaws.com:444/', 'https://sns..amazonaws.com.evil/', 'https://s3.eu-west-1.amazonaws.com/', 'file:///etc/passwd', ''):
            same(tell(resigned(vector('subscription_v2.json'), SubscribeURL=url))[0], 403, f'subscription at {url}: refused')
    with Server(*options, '--sns-confirm', clock='2026-11-22 12:05:00') as server:
        same(server.post('email-webhook/ses/', json.dumps(resigned(vector('subscription_v2.json'), SubscribeURL='https://sns.nowhere-for-tests.amazonaws.com/?Token=1'))), (200, {'confirmed': True}), 'with --sns-confirm it is')
        # There is no such region, so there is no such host.
        ok(wait_for(lambda: 'event=sns_confirmed' in server.err), 'its address is visited', server.err)
        same(server.post('email-webhook/ses/', json.dumps(resigned(vector('subscription_v2.json'), SubscribeURL='https://evil.example/')))[0], 403, 'no other one')
    with Server(*options, clock='2130-01-01 00:00:00') as server:
        late = resigned(bounce, Timestamp='2130-01-01T00:00:00.000Z')
        same(server.post('email-webhook/ses/', json.dumps(late))[0], 401, 'a certificate whose time is over is of no use')
    for arguments, says in ((('--sns-certificate=/nowhere', '--sns-topics=' + TOPIC), 'has no certificate'), ((options[0], '--sns-topics=mails'), 'are ARNs'), ((options[0],), 'need each other')):
        done = subprocess.run(['incomplete-orders', 'serve', '--listen=127.0.0.1:0', *arguments], capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, 'PGUSER': 'pages'})
        ok(done.returncode in (64, 66) and says in done.stderr, f'does not start: {says}', done.returncode, done.stderr)


prepare()
for part in (generic, amazon):
    if os.environ.get('EVENTS_PART', part.__name__) == part.__name__:
        part()
finish()
