// A payment provider that answers as the customer's card is: "good", "bad" (declined),
// "slow" (declined, but only after a while).
'use strict';
const { randomUUID } = require('crypto');
const { AbstractPaymentProvider, ModuleProvider, Modules, PaymentActions, PaymentSessionStatus } = require('@medusajs/framework/utils');

class Card extends AbstractPaymentProvider {
	async initiatePayment({ data }) {
		return { id: randomUUID(), status: PaymentSessionStatus.PENDING, data: { card: data?.card ?? 'good' } };
	}
	async authorizePayment({ data }) {
		if (data?.card === 'slow') await new Promise((resolve) => setTimeout(resolve, 600));
		const good = data?.card === 'good';
		return { data, status: good ? PaymentSessionStatus.AUTHORIZED : PaymentSessionStatus.ERROR };
	}
	async getPaymentStatus({ data }) {
		return { data, status: data?.card === 'good' ? PaymentSessionStatus.AUTHORIZED : PaymentSessionStatus.ERROR };
	}
	async updatePayment({ data }) { return { data }; }
	async capturePayment({ data }) { return { data }; }
	async cancelPayment({ data }) { return { data }; }
	async deletePayment({ data }) { return { data }; }
	async refundPayment({ data }) { return { data }; }
	async retrievePayment({ data }) { return { data }; }
	async getWebhookActionAndData() { return { action: PaymentActions.NOT_SUPPORTED }; }
}
Card.identifier = 'card';

module.exports = ModuleProvider(Modules.PAYMENT, { services: [Card] });
