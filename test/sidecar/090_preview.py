"""Random templates: what the checker of the extension accepts becomes a mail, and what the
renderer refuses the checker refuses.

FUZZ_SEED, FUZZ_TEMPLATES may be set.
"""
import random

from sending import *

SEED = int(os.environ.get('FUZZ_SEED', random.randrange(1 << 32)))
TEMPLATES = int(os.environ.get('FUZZ_TEMPLATES', '400'))
NAMES = ['customer_name', 'shop_name', 'items', 'one_day', 'discount_offer', 'name', 'variant', 'link', 'days_until_expiry', 'unknown', '']
PIECES = ['{{', '}}', '{', '}', '{{{', '}}}', '#', '^', '/', '&', '!', '>', '=', ' ', '\n', '\r\n', '\t', 'x', 'ü', '€', '.', '{{=<% %>=}}', '{{! {{ }}']
rng = random.Random(SEED)


def tag(sigil, name):
    space = rng.choice(['', '', ' ', '\n'])
    return '{{' + space + sigil + rng.choice(['', '', ' ']) + name + space + '}}'


def sensible(depth=0, inside=False):
    """Mostly a template without faults."""
    parts = []
    for _ in range(rng.randrange(1, 5)):
        kind = rng.random()
        if kind < 0.3:
            parts.append(rng.choice(['x', 'ü ', 'Hello, ', '\n\n', '} ', '{ ']))
        elif kind < 0.6 or depth > 8:
            parts.append(rng.choice([tag('', '%s'), tag('&', '%s'), '{{{%s}}}']) % rng.choice(NAMES[:2] + NAMES[4:5] + (NAMES[5:8] if inside else [])))
        elif kind < 0.65:
            parts.append('{{!' + rng.choice(['', ' a comment ', '{{#items']) + '}}')
        else:
            name = rng.choice(NAMES[:5] if not inside else NAMES[:2] + NAMES[5:7])
            sigil = rng.choice('##^')
            parts.append(tag(sigil, name) + sensible(depth + 1, inside or (sigil == '#' and name == 'items')) + tag('/', name))
    return ''.join(parts)


def template():
    kind = rng.random()
    if kind < 0.25:
        return ''.join(rng.choice(PIECES + NAMES) for _ in range(rng.randrange(1, 15)))
    text = sensible()
    for _ in range(0 if kind < 0.6 else rng.randrange(1, 3)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(PIECES + ['']) + text[at + rng.randrange(3):]
    return text


checker = psycopg.connect('', dbname=os.environ['CHECKER_DATABASE'], autocommit=True)


def accepted(body):
    try:
        checker.execute("SELECT incomplete_orders._check_template('body', %s)", [body])
        return True
    except psycopg.errors.InvalidParameterValue as error:
        ok(False, 'a refusal says where', repr(body), error.diag.message_primary, error.diag.message_detail) \
            if not re.fullmatch(r'Line \d+, column \d+\.|It has no text beside .*', error.diag.message_detail) else None
        return False


bodies = [template() for _ in range(TEMPLATES)]
verdicts = {enqueue(text={'body': body}): (body, accepted(body)) for body in bodies}
saved(next(iter(verdicts)))
results = {str(i): (s, r or '') for i, s, r in sql('SELECT id, status, response FROM incomplete_orders.queue')}
good = sum(verdict for _, verdict in verdicts.values())
refused = {i for i, (status, _) in results.items() if status != 'sent'}
say(f'# seed {SEED}: {len(verdicts)} templates, {good} accepted, {len(refused)} that cannot be rendered')
ok(good > TEMPLATES / 10 and good < TEMPLATES * 0.9, 'some are accepted, and some are not', good)
ok(len(refused) > TEMPLATES / 20, 'some cannot be rendered', len(refused))
wrong = [(verdicts[i][0], results[i]) for i in refused if verdicts[i][1]]
ok(not wrong, f'what is accepted is rendered (seed {SEED})', *map(repr, wrong[:5]))
finish()
