"""The mails themselves, written into files by --save and read by Python's own parser."""
import email.utils

from sending import *

FROM_QUEUE = '2026-03-04T05:06:07.123456+01:00'
WHERE = 'https://books.shop.example'

# ---- a plain one ----

message = enqueue()
data, mail = saved(message)
same(mail['From'], 'Harbour Books <books@shop.example>', 'From')
same(mail['To'], 'Jane Doe <jane@example.com>', 'To')
same(mail['Reply-To'], 'Harbour Books <desk@shop.example>', 'Reply-To')
same(mail['Subject'], 'Your cart at Harbour Books', 'Subject')
same(mail['Message-ID'], f'<{message}@shop.example>', 'Message-ID is that of the queue')
same(email.utils.parsedate_to_datetime(mail['Date']).isoformat(), '2026-03-04T04:06:07+00:00', 'Date is when it was queued')
same(mail['List-Unsubscribe'], f'<{WHERE}/u/{"u" * 43}>', 'List-Unsubscribe')
same(mail['List-Unsubscribe-Post'], 'List-Unsubscribe=One-Click', 'List-Unsubscribe-Post')
same(mail['Auto-Submitted'], 'auto-generated', 'Auto-Submitted')
same(mail['Content-Language'], 'en', 'Content-Language')
same(mail['Precedence'], None, 'no Precedence')
same(mail.get_content_type(), 'multipart/alternative', 'two ways to read it')
same([part.get_content_type() for part in mail.iter_parts()], ['text/plain', 'text/html'], 'the plain one first')
same([part.get_content_charset() for part in mail.iter_parts()], ['utf-8', 'utf-8'], 'in UTF-8')
same(mail.defects + [d for part in mail.walk() for d in part.defects], [], 'the parser finds no defect')
ok(len(mail.get_boundary()) < 70 and message in mail.get_boundary(), 'the boundary comes from the message')

text = plain(mail)
ok(text.startswith('Harbour Books\n\nStill there\n\nHello Jane Doe,\n\nyour cart is as you left it.\n'), 'the text begins as it should', text)
like(text, r'^\* 2 x Blue shirt \(M\): EUR\xa039\.80$', 'a line of the order')
like(text, r'^\* 1 x Mug: EUR\xa019\.90$', 'another, without a variant')
like(text, r'^Total: EUR\xa059\.70$', 'the total, with the decimals of the currency')
for page, token in ('r', 'r'), ('u', 'u'), ('n', 'n'):
    like(text, f'^{WHERE}/{page}/{token * 43}$', f'the link /{page}/ is spelled out')
like(text, r'^You get this because you left a cart at Harbour Books\.$', 'the reason for the mail')
like(text, r'^Harbour Books Ltd\n1 Quay Street\nPorttown$', 'the postal address')
like(text, r'^Reference: INC-0123456789$', 'the reference')
ok(max(len(line) for line in text.split('\n')) <= 78, 'no line is longer than 78')
unlike(text, r'\{\{|\}\}|\n\n\n', 'nothing is left of the template')

page = html(mail)
for wanted in (f'href="{WHERE}/r/{"r" * 43}"', f'href="{WHERE}/c/{"c" * 43}/1"', f'href="{WHERE}/c/{"c" * 43}/2"',
               f'src="{WHERE}/o/{"o" * 43}"', f'href="{WHERE}/u/{"u" * 43}"', f'href="{WHERE}/n/{"n" * 43}"',
               'src="https://img.shop.example/a.png"', '3 things wait', 'Still there', '#0a6e4f', 'lang="en"', 'Porttown'):
    ok(wanted in page, f'the HTML has {wanted}')
unlike(page, r'\{\{|\}\}|placeholder|#abcde|<script|@import|<link', 'and nothing of the template, no script, nothing to fetch')

# ---- the bytes ----

lines = data.split(b'\r\n')
ok(b'\n' not in b''.join(lines) and b'\r' not in b''.join(lines), 'every line ends in CRLF')
ok(max(map(len, lines)) <= 998, 'no line is longer than RFC 5322 allows')
ok(all(byte < 128 for byte in data), 'only ASCII on the wire')
sql("UPDATE incomplete_orders.queue SET status = 'queued', due_at = now(), attempts = 7,"
    " message = jsonb_set(message, '{message,attempt}', '8')")
same(saved(message)[0], data, 'another attempt, another process: the same bytes')
os.environ.update(LC_ALL='tr_TR.UTF-8', TZ='Asia/Tokyo')
sql("UPDATE incomplete_orders.queue SET status = 'queued', due_at = now()")
same(saved(message)[0], data, 'wherever it runs')
for name in 'LC_ALL', 'TZ':
    del os.environ[name]


def mail_of(recipient='jane@example.com', *arguments, **changes):
    empty_queue()
    message = enqueue(recipient, **changes)
    data, mail = saved(message, *arguments)
    return data, mail, state(message)


# ---- any language ----

data, mail, _ = mail_of(shop={'name': 'Bücher & Möbel "Østergård"'}, order={'customer_name': '山田 太郎'},
                        text={'subject': '{{customer_name}}さん、カートに商品が残っています ' + 'ü' * 60, 'body': 'Grüße, 山田さん: ' + 'ぁ' * 300})
ok(all(byte < 128 for byte in data), 'any language: only ASCII on the wire')
same(mail['Subject'], '山田 太郎さん、カートに商品が残っています ' + 'ü' * 60, 'any language: the subject comes out as it went in')
same(mail['From'].addresses[0].display_name, 'Bücher & Möbel "Østergård"', 'any language: the sender')
same(mail['To'].addresses[0].display_name, '山田 太郎', 'any language: the recipient')
same(mail['To'].addresses[0].addr_spec, 'jane@example.com', 'and the address')
ok(max(map(len, data.split(b'\r\n'))) <= 998, 'any language: no line is too long')
like(plain(mail), 'Grüße, 山田さん', 'any language: the text')
same(len(plain(mail).split('ぁ')) - 1, 300, 'all of it')
_, mail, _ = mail_of(message={'locale': 'de-AT'}, order={'total': '1234567.5'})
same(mail['Content-Language'], 'de-AT', 'German: Content-Language')
like(plain(mail), r'^Summe: 1\.234\.567,50\xa0EUR$', 'German: words and amounts')
_, mail, _ = mail_of(message={'locale': 'x"><script>'}, order={'currency': 'JPY', 'total': '1500'})
unlike(html(mail), '<script>', 'a locale is not markup')
like(plain(mail), r'^Total: JPY\xa01,500$', 'a currency without decimals')
_, mail, (_, _, _, response) = mail_of('jane@bücher.example')
same(mail['To'].addresses[0].addr_spec, 'jane@xn--bcher-kva.example', 'a domain in any language goes out in ASCII')

# ---- long lines ----

word, sentence = 'x' * 1000, 'many words ' * 100
data, mail, _ = mail_of(text={'subject': word, 'body': f'{sentence}\n{word}\n\n  * {sentence}'}, shop={'name': word, 'postal_address': word},
                        order={'items': [{'name': sentence, 'quantity': 1, 'line_total': '1', 'unit_price': '1'}, {'name': word, 'quantity': 1, 'line_total': '1', 'unit_price': '1'}]})
ok(max(map(len, data.split(b'\r\n'))) <= 998, 'long words: no line is too long on the wire')
ok(max(len(line) for line in plain(mail).splitlines()) <= 78, 'long words: no line is longer than 78 where one reads it')
ok(len(mail['Subject']) <= 201 and mail['Subject'].startswith('x' * 200), 'long words: the subject is cut')
same(plain(mail).count('x') >= 3000, True, 'long words: the text is not cut')
longer = 'https://' + 'w' * 100 + '.example'
_, mail, _ = mail_of(shop={'base_url': longer})
like(plain(mail), f'^{longer}/r/{"r" * 43}$', 'a long link stays in one piece')

# ---- what is not to become a header, a tag, a template ----

EVIL = 'a\r\nBcc: evil@example.net\r\n\r\n<b>{{shop_name}}</b>{{{x}}}\u2028Bcc: evil@example.net'
for part, field in [('shop', 'name'), ('shop', 'postal_address'), ('shop', 'colour'), ('shop', 'logo_url'), ('order', 'customer_name'),
                    ('order', 'reference'), ('order', 'currency'), ('order', 'total'), ('order', 'days_until_expiry'),
                    ('message', 'locale'), ('text', 'subject'), ('text', 'preheader'), ('text', 'headline'), ('text', 'body'), ('text', 'button'),
                    ('text', 'footer'), ('links', 'restore')]:
    data, mail, (status, _, _, response) = mail_of(**{part: {field: EVIL.replace('{{{x}}}', '') if part == 'text' else EVIL}})
    if not ok(mail is not None, f'{part}.{field}: there is a mail', status, response):
        continue
    same((mail['Bcc'], mail.defects), (None, []), f'{part}.{field}: no header of its own')
    unlike(html(mail), '<b>', f'{part}.{field}: no tag of its own')
    if (part, field) not in (('text', 'body'), ('text', 'footer'), ('shop', 'postal_address')):
        unlike(plain(mail), r'\nBcc', f'{part}.{field}: no line of its own in the text')
    unlike(data.split(b'\r\n\r\n')[0].decode(), r'\nBcc', f'{part}.{field}: no line of its own among the headers')
for part, field, says in [('shop', 'from_email', 'from_email of the shop: the address has a character'),
                          ('shop', 'reply_to', 'reply_to of the shop: the address has a character'),
                          ('shop', 'base_url', 'base_url of the shop is no address')]:
    _, mail, (status, _, calls, response) = mail_of(**{part: {field: EVIL}})
    same((mail, status, calls), (None, 'queued', 'claim transient'), f'{part}.{field}: later, when it is mended')
    like(response, says, f'{part}.{field}: says so')
for field in 'mail_message_id', 'queued_at':
    _, mail, (status, _, calls, response) = mail_of(message={field: EVIL})
    same((mail, status, calls), (None, 'dead', 'claim permanent'), f'message.{field}: never')
for address in ('jane@example.com\r\nRCPT TO:<evil@example.net>', 'jane@example.com>', '<jane@example.com>', 'jane@exam ple.com', 'jane\t@example.com',
                'jane', '@example.com', 'jane@', 'jane@a@b.example', 'a' * 250 + '@example.com', 'jane@example.com,evil@example.net',
                'jane\u2028@example.com', 'jane\u00a0@example.com', 'jane@example.com\x7f', '"jane doe"@example.com'):
    _, mail, (status, _, calls, response) = mail_of(address)
    same((mail, status, calls), (None, 'dead', 'claim permanent'), f'recipient {address!r}: refused for ever')
    like(response, '^recipient: the address ', f'recipient {address!r}: says why')
    ok(address not in response, f'recipient {address!r}: without the address')

nasty = {'name': '<b>{{customer_name}}</b> {{{shop_name}}} {{#items}}"\'&', 'variant': '<img src=x>', 'quantity': 1, 'unit_price': '1', 'line_total': '1',
         'image_url': 'javascript:alert(1)', 'url': None}
_, mail, _ = mail_of(order={'items': [nasty]})
like(plain(mail), re.escape('* 1 x <b>{{customer_name}}</b> {{{shop_name}}} {{#items}}"\'& (<img src=x>):').replace(r'\ ', r'\s+'), 'a product named like a template: as it is, in the text')
ok('&lt;b&gt;{{customer_name}}&lt;/b&gt; {{{shop_name}}} {{#items}}&quot;&#39;&amp;' in html(mail), 'a product named like a template: as text, in the HTML', html(mail))
unlike(html(mail), 'javascript:|<img src=x>', 'a picture that is none is left out')
_, mail, _ = mail_of(order={'items': [nasty] * 20, 'more_items': 7})
like(plain(mail), r'^\* and 7 more$', 'lines that were left out are counted')
for locale, more, shown in ('en', 1, 'and one more'), ('de', 1, 'und ein weiterer Artikel'), ('de', 1200, 'und 1.200 weitere'), ('en', 1200, 'and 1,200 more'):
    _, mail, _ = mail_of(message={'locale': locale}, order={'items': [nasty] * 20, 'more_items': more})
    like(plain(mail), rf'^\* {shown}$', f'{locale}: {more} more')
stock = {'items': [{'name': 'Tea', 'quantity': 2, 'quantity_was': 5, 'unit_price': '19.90', 'line_total': '39.80', 'line': 2},
                   {'name': 'Cup', 'quantity': 1, 'unit_price': '5.00', 'unit_price_was': '4.50', 'line_total': '5.00', 'line': 4}],
         'unavailable': ['Pot', '<b>{{x}}</b>']}
for locale, was, gone, price, old in ('en', 'was', 'No longer available', 'EUR\xa05.00', 'EUR\xa04.50'), ('de', 'bisher', 'Nicht mehr lieferbar', '5,00\xa0EUR', '4,50\xa0EUR'):
    _, mail, _ = mail_of(message={'locale': locale}, order=stock)
    like(plain(mail), rf'^\* 2 \({was} 5\) x Tea: [^ ]+$', f'{locale}: fewer than were wanted')
    like(plain(mail), rf'^\* 1 x Cup: {price} \({price}, {was} {old}\)$', f'{locale}: another price')
    like(plain(mail), rf'^\* {gone}: Pot, <b>{{{{x}}}}</b>$', f'{locale}: what is sold out is named')
    ok(f'2 ({was} 5)&nbsp;&times;' in html(mail) and f'({{}}{was} {old}'.format('<span class="amount">') in html(mail) and
       f'{gone}: Pot, &lt;b&gt;{{{{x}}}}&lt;/b&gt;' in html(mail), f'{locale}: and in the HTML', html(mail))
    ok('/2"' in html(mail) and '/4"' in html(mail) and '/1"' not in html(mail), 'a link of a line leads to its place in the cart', html(mail))
# words of the shop's own around a text in another language; what it does not say is English
_, mail, _ = mail_of(message={'locale': 'fr-CA'}, order={**stock, 'more_items': 7},
                     text={'locale': 'fr', 'words': {'total': 'Somme <b>', 'more': 'et %s autres', 'was': 'avant\r\nBcc: x@example.com', 'unsubscribe': 'Ne plus recevoir', 'nothing': 'x', 'link': 7}})
same((mail['Content-Language'], mail['Bcc']), ('fr-CA', None), 'own words: no header of their own')
like(plain(mail), r'^Somme <b>: EUR\xa059\.70$', 'own words: the total')
like(plain(mail), r'^\* et 7 autres$', 'own words: how many more')
like(plain(mail), r'^\* 2 \(avant Bcc: x@example\.com 5\) x Tea: ', 'own words: one line')
like(plain(mail), r'^Ne plus recevoir:$', 'own words: unsubscribing')
like(plain(mail), r'^\* No longer available: ', 'own words: others stay ours')
ok('Somme &lt;b&gt;' in html(mail) and 'Ne plus recevoir</a>' in html(mail), 'own words: in the HTML, as text', html(mail))
_, mail, _ = mail_of()
unlike(plain(mail), r'\(.*was |No longer', 'none of that where nothing has changed')
_, mail, _ = mail_of(message={'locale': 'de-AT'}, text={'locale': 'en'})
same(mail['Content-Language'], 'en', 'a reader for whom there is no text: the language of the one that they get')
like(plain(mail), r'^Total: EUR\xa059\.70$', 'and words and amounts that go with it')
for locale, found in ('de-AT', 'de'), ('DE_at', 'de'), ('de', 'de-AT'), ('de-AT', None):
    _, mail, _ = mail_of(message={'locale': locale}, text={'locale': found})
    same(mail['Content-Language'], locale.replace('_', '-'), f'{locale}, the text {found}: theirs')
_, mail, _ = mail_of(order={'days_until_expiry': 0}, text={'body': 'x{{#days_until_expiry}} {{days_until_expiry}} days{{/days_until_expiry}}.'})
like(plain(mail), r'^x\.$', 'the last day is not counted')
_, mail, _ = mail_of(order={'discount_offer': 'SAVE10: <b>'}, text={'body': 'x {{discount_offer}}'})
like(plain(mail), r'^x SAVE10: <b>$', 'a discount')
for name, shown in [('Jane', True), ('J.R. Tolkien', True), ("O'Brien-Smith", True), ('Dr. Müller', True), ('https://evil.example', False),
                    ('visit evil.example now', False), ('www.evil', False), ('win $1000', False), ('x' * 61, False), (' ', False)]:
    _, mail, _ = mail_of(order={'customer_name': name})
    same(f'Hello {name},' in plain(mail).splitlines(), shown, f'customer {name!r} is {"" if shown else "not "}named')
    same(mail['To'].addresses[0].display_name, name if shown else '', f'customer {name!r} in To')

# ---- templates ----

_, mail, _ = mail_of(text={'body': 'One\ntwo\n\n{{#items}}\n{{quantity}}|{{name}}|{{variant}}|{{unit_price}}|{{line_total}}|{{link}}\n{{/items}}\n\n'
                           '{{item_count}} {{total_items}} {{total_amount}} {{currency}} {{reference}} {{recovery_url}} {{days_until_expiry}}'
                           '{{^discount_offer}} none{{/discount_offer}}{{#discount_offer}} some{{/discount_offer}}{{! nothing }}{{unknown}}'})
like(plain(mail), rf'^2\|Blue\sshirt\|M\|19\.90\|39\.80\|{WHERE}/c/c+/1$', 'all that a line has')
like(plain(mail), r'^1\|Mug\|\|19\.90\|19\.90\|', 'a line without a variant does not take that of another')
like(re.sub(r'\s+', ' ', plain(mail)), rf'3 3 59\.70 EUR INC-0123456789 {WHERE}/r/r+ 27 none', 'all that a template may name')
ok('One<br />two</p>' in html(mail), 'lines and paragraphs in the HTML', html(mail))
for name, body, says in [('a section without an end', '{{#items}}', 'Unclosed section'), ('an end without a section', '{{/items}}', 'Unopened section'),
                         ('a tag without an end', 'a {{b', 'Unclosed tag'), ('a partial', '{{> customer_name}}', 'cannot contain another'),
                         ('a hidden partial', '{{ \n>customer_name}}', 'cannot contain another'),
                         ('other delimiters', '{{=<% %>=}}', 'cannot change the delimiters'), ('the same in three braces', '{{{=<% %>=}}}', 'cannot change the delimiters'),
                         ('sections without measure', '{{#a}}' * 9 + '{{/a}}' * 9, 'too many sections'),
                         ('output without measure', '{{#items}}' + '{{name}}' * 30000 + '{{/items}}', 'too long'),
                         ('two braces alone', 'x {{', 'template, body')]:
    _, mail, (status, _, calls, response) = mail_of(text={'body': body})
    same((mail, status, calls), (None, 'dead', 'claim permanent'), f'{name}: never')
    like(response, says, f'{name}: says why')
_, mail, _ = mail_of(text={'body': '{{#items}}{{#items}}{{#items}}x{{/items}}{{/items}}{{/items}}.'})
unlike(plain(mail), 'x\\.|xx', 'a list inside of itself is empty')
same(mail_of(text={'subject': '{{unknown}}'})[2][0], 'dead', 'a mail without a subject: never')
same(mail_of(text={'subject': None})[2][0], 'dead', 'no template at all: never')
empty_queue()
bad, good = enqueue(text={'body': '{{'}), enqueue()
saved(good)
same((state(bad)[0], state(good)[0]), ('dead', 'sent'), 'a message that cannot be rendered does not stop the next')

# ---- shops without this or that ----

for part, says, arguments in [('from_email', 'no from_email', ['--from=all@shops.example']), ('base_url', 'no base_url', ['--base-url=https://all.example/x/'])]:
    _, mail, (status, _, calls, response) = mail_of(shop={part: None})
    same((mail, status, calls), (None, 'queued', 'claim transient'), f'no {part}: later')
    like(response, says, f'no {part}: says so')
    data, mail, _ = mail_of('jane@example.com', *arguments, shop={part: None})
    ok(mail is not None, f'no {part}: a default does')
    ok(b'all@shops.example' in data if part == 'from_email' else 'https://all.example/x/r/' in plain(mail), f'no {part}: and is used')
_, mail, _ = mail_of(shop={'base_url': 'http://127.0.0.1:8080'})
same((mail['List-Unsubscribe'], mail['List-Unsubscribe-Post']), (f'<http://127.0.0.1:8080/u/{"u" * 43}>', None), 'no https: no one-click by RFC 8058')
_, mail, _ = mail_of(shop={'reply_to': None, 'postal_address': None, 'logo_url': 'https://img.shop.example/l.png', 'colour': '#ff0', 'name': ''},
                     order={'customer_name': None, 'days_until_expiry': None, 'items': []})
same((mail['Reply-To'], str(mail['From']), str(mail['To'])), (None, 'books@shop.example', 'jane@example.com'), 'nothing but addresses')
like(plain(mail), '^Hello,$', 'nobody is called by an empty name')
ok('#ffff00' in html(mail) and 'color:#000000' in html(mail) and 'l.png' in html(mail), 'a short colour, what can be read on it, and a logo')
finish()
