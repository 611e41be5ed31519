// The words of the field, each with its one definition, and the states of an order with
// their one colour.
export const WORDS = {
	'incomplete order': 'An order that did not finish: a cart, an order placed and not paid, or one that is filled in part.',
	created: 'Carts and orders that were begun in the period, bots left out.',
	abandoned: 'Not empty, not paid, and without any action of the customer for the cut-off (60 minutes if the shop says nothing else).',
	episode: 'One abandonment. Whoever comes back and leaves again begins the next one.',
	recoverable: 'Abandoned, and there is a lawful way to write to the person, and at least one line can still be sold.',
	converted: 'It became an order.',
	direct: 'It became an order before it was ever abandoned.',
	recovered: 'It was abandoned; a human clicked a link or redeemed a coupon of a message; it was paid within 5 days of that.',
	assisted: 'It was abandoned; a message was delivered, nobody clicked, and it was paid within 5 days. Not counted as recovered.',
	unaided: 'It was abandoned and bought all the same, without any message.',
	lost: 'The messages and the time in which they count are over, and nothing happened for 14 days.',
	expired: 'Its deadline passed (30 days if the shop says nothing else).',
	dismissed: 'A member of staff closed it.',
	suppressed: 'The person may not be mailed: unsubscribed, undeliverable, complained, or erased.',
	person: 'Within a shop: the same customer, else the same e-mail address, else the same phone number.',
	bot: 'Not a human: kept apart in every figure, and never mailed.',
	'conversion rate': 'Of the orders created in the period, those that became an order.',
	'abandonment rate': '1 − converted / carts, of the carts created in the period, bots left out.',
	'checkout abandonment rate': 'The same, of those who had begun the checkout.',
	'recovery rate': 'Recovered / recoverable episodes that were abandoned in the period.',
	'recovered revenue': 'What was paid for recovered orders, less refunds. Never the value of carts, never added over currencies.',
	'lost value': 'The value of the carts that were given up as lost.',
	'message conversion': 'Recovered / sent. Not the recovery rate.',
	lift: 'Conversion of those who were mailed minus that of the holdout group, as assigned by chance, with its 95 % interval.',
	holdout: 'People chosen by chance who get no messages, so that the effect of messages can be measured.',
	'time to recover': 'From the abandonment to the payment: within the median a half had paid, within p90 nine of ten.',
	'days to abandon': 'From the creation to the abandonment, on average.',
	'best cart': 'Of the abandoned carts of a person the one with the highest total that can be sold: the one that is written about.',
	'last activity': 'The latest action of the customer. What staff or the program do never moves it.',
	attempts: 'Recovery messages that were sent for it.',
};

export const STATES = {
	pending: { label: 'Open', colour: 'created', means: 'The customer was active within the cut-off.' },
	payment_pending: { label: 'Payment pending', colour: 'created', means: 'Placed; the payment is waited for.' },
	payment_failed: { label: 'Payment failed', colour: 'lost', means: 'The payment did not go through; it can be tried again.' },
	abandoned: { label: 'Abandoned', colour: 'abandoned', means: WORDS.abandoned },
	converted: { label: 'Converted', colour: 'converted', means: WORDS.converted },
	expired: { label: 'Expired', colour: 'quiet', means: WORDS.expired },
	dismissed: { label: 'Dismissed', colour: 'quiet', means: WORDS.dismissed },
	deleted: { label: 'Deleted', colour: 'quiet', means: 'The cart was removed.' },
	reversed: { label: 'Taken back', colour: 'quiet', means: 'The order that came of it was taken back by the shop.' },
	merged: { label: 'Merged', colour: 'quiet', means: 'Its lines are in another cart of the same person.' },
	// messages
	queued: { label: 'Queued', colour: 'created' },
	leased: { label: 'Being sent', colour: 'created' },
	sent: { label: 'Sent', colour: 'converted' },
	delivered: { label: 'Delivered', colour: 'converted' },
	opened: { label: 'Opened', colour: 'recovered' },
	clicked: { label: 'Clicked', colour: 'recovered' },
	failed: { label: 'Failed', colour: 'lost' },
	dead: { label: 'Given up', colour: 'lost' },
	cancelled: { label: 'Cancelled', colour: 'quiet' },
	bounced: { label: 'Undeliverable', colour: 'lost' },
	complained: { label: 'Complaint', colour: 'lost' },
	// outcomes
	recovered: { label: 'Recovered', colour: 'recovered', means: WORDS.recovered },
	assisted: { label: 'Assisted', colour: 'converted', means: WORDS.assisted },
	unaided: { label: 'Unaided', colour: 'converted', means: WORDS.unaided },
	lost: { label: 'Lost', colour: 'lost', means: WORDS.lost },
	// checks
	ok: { label: 'Well', colour: 'recovered' },
	warn: { label: 'Look at it', colour: 'abandoned' },
	alarm: { label: 'Act now', colour: 'lost' },
	broken: { label: 'Broken', colour: 'lost', means: 'It cannot be read. Nothing is lost meanwhile.' },
	sending: { label: 'Being sent', colour: 'created' },
};
export const STATUSES = ['pending', 'payment_pending', 'payment_failed', 'abandoned', 'converted', 'expired', 'dismissed', 'deleted', 'reversed'];
export const KINDS = { cart: 'Cart', payment: 'Payment', partial: 'Partly filled' };
export const STEPS = { cart: 'Cart', contact: 'Contact', shipping: 'Shipping', payment: 'Payment', review: 'Review' };
// names of the variables in style.css
export const COLOURS = ['created', 'abandoned', 'recovered', 'converted', 'lost', 'quiet'];
// A state that is not listed is named by its own word.
export const stateOf = (state) => STATES[state] || { label: String(state || '–').replace(/_/g, ' ').replace(/^./, (c) => c.toUpperCase()), colour: 'quiet' };

export const MESSAGE_TYPES = { abandoned_cart: 'Abandoned cart', payment_reminder: 'Payment reminder', final_reminder: 'Final reminder', discount_offer: 'Discount offer' };
export const typeOf = (type) => MESSAGE_TYPES[type] || stateOf(type).label;

// Why nothing was or is sent: in words, and what can be done.
const REASONS = {
	no_recipient: ['There is no e-mail address', 'Edit the order and enter one.'],
	bot: ['It is taken for a robot’s', 'Robots are never mailed by a campaign; by hand it can be sent.'],
	empty: ['Nothing is left in the cart that is not ordered yet'],
	unsubscribed: ['The person has unsubscribed', 'They must agree again themselves.'],
	not_me: ['The person said that this cart is not theirs', 'Check the e-mail address.'],
	hard_bounce: ['Mails to the address come back', 'Ask for another address and correct it here.'],
	complaint: ['The person reported a mail as spam', 'Do not write to them again.'],
	erased: ['The person asked to be forgotten'],
	suppressed: ['The address is suppressed', 'Under Suppressions it can be taken off.'],
	no_consent: ['There is no consent to be written to', 'The shop’s setting “consent rule” asks for one.'],
	other_cart: ['The same person has a better cart, which is written about'],
	cap_per_episode: ['It had as many messages as the shop allows', 'One more can be sent by hand.'],
	cap_per_person: ['The person had as many messages as the shop allows in 30 days', 'One more can be sent by hand.'],
	ordered: ['The person has ordered since', 'Nothing to do; dismiss it if it is only in the way.'],
	already_bought: ['They bought the same shortly before'],
	holdout: ['They are in the holdout group, which gets no messages', 'So that the effect of messages can be measured. By hand it can be sent.'],
	campaign_disabled: ['The campaign is off', 'Enable it under Campaigns, or send by hand.'],
	before_campaign: ['It was abandoned before the campaign was enabled', 'Send by hand if it is worth it.'],
	customer_returned: ['The customer came back'],
	deleted: ['The cart was removed'],
	expired: ['Its time was over'],
	reversed: ['Its order was taken back'],
	lost: ['The messages and their time are over: it counts as lost', 'One more can be sent by hand.'],
	attempts_exhausted: ['All steps of the campaign are done', 'One more can be sent by hand.'],
	unavailable: ['Nothing of it can be sold any more'],
	too_old: ['It could not be sent for five days', 'See Health: does a sender run?'],
	rejected: ['The mail server refused the message', 'See the reply at the message; check the address.'],
	discarded: ['It was given up by staff'],
	min_gap: ['The person had another message shortly before', 'It is sent later by itself.'],
	quiet_hours: ['It is night where the person is', 'It is sent later by itself.'],
	availability: ['The shop could not say what can still be sold', 'It is tried again by itself; see Health.'],
	not_abandoned: ['It is not abandoned', 'Messages begin when it is. It can be marked as abandoned at once.'],
	not_due: ['The next message is not due yet'],
	due: ['The next message is due', 'It is queued within a minute, if the scheduler runs.'],
	queued: ['A message waits to be sent'],
	sending: ['A message is being sent'],
	sent: ['A message was sent'],
};
const reasonOf = (reason) => REASONS[reason] || (/^excluded_/.test(reason) ? [`The shop’s settings exclude it (${reason.slice(9)})`, 'See Shop, exclusions.'] : [stateOf(reason).label, '']);
export const reasonWords = (reason) => reasonOf(reason)[0];
export const reasonAdvice = (reason) => reasonOf(reason)[1] || '';
