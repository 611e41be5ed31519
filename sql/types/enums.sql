-- The words of an order's life.  The transition table is in src/lifecycle.c.

CREATE TYPE incomplete_orders.order_kind AS ENUM ('cart', 'payment', 'partial');
COMMENT ON TYPE incomplete_orders.order_kind IS 'Why an order is incomplete: a cart, placed but not paid, or some lines filled and some not';

CREATE TYPE incomplete_orders.order_status AS ENUM
	('pending', 'payment_pending', 'payment_failed', 'abandoned',
	 'converted', 'expired', 'dismissed', 'deleted', 'reversed');
COMMENT ON TYPE incomplete_orders.order_status IS 'State of an incomplete order: the first four are open, the others closed';

CREATE TYPE incomplete_orders.message_status AS ENUM ('queued', 'sending', 'sent', 'cancelled', 'dead');
COMMENT ON TYPE incomplete_orders.message_status IS
	'State of a recovery message: waiting, claimed by a sender, accepted by a mail server, not to be sent any more, given up';

CREATE TYPE incomplete_orders.checkout_step AS ENUM ('cart', 'contact', 'shipping', 'payment', 'review');
COMMENT ON TYPE incomplete_orders.checkout_step IS 'How far the customer came';
