// On every page, when the scheduler stands still; staff who may not ask see nothing.
import { html, useState, useEffect } from './vendor/preact.js';
import { get, may, useEvery } from './api.js';
import { link, useRoute } from './route.js';
import { Ago, Copy, Notice } from './ui.js';

const SAYS = {
	stopped: { kind: 'bad', title: 'The scheduler stands still', advice: 'Carts are still captured, but nothing is abandoned, mailed or expired until it runs again. Start it, or look why it fails:' },
	never: { kind: 'warn', title: 'The scheduler has never run', advice: 'Until it does, nothing is abandoned, mailed or expired. Start it:' },
	ahead: { kind: 'warn', title: 'The scheduler ran in the future', advice: 'The clock of the server was set back. It goes on when that instant comes; correct the clock, or run it once:' },
};
const COMMANDS = { stopped: 'systemctl restart incomplete-orders-tick', never: 'incomplete-orders tick --every 60s', ahead: 'CALL incomplete_orders.tick();' };

// The state that the scheduler is in, asked again every minute and when somebody comes back.
export function useScheduler(seconds = 60) {
	const [status, set] = useState(null);
	const allowed = may('scheduler_status');
	const ask = () => allowed && get('scheduler/', {}, { background: true }).then(set, () => {});
	useEffect(() => {
		const back = () => document.hidden || ask();
		ask();
		document.addEventListener('visibilitychange', back);
		return () => document.removeEventListener('visibilitychange', back);
	}, [allowed]);
	useEvery(seconds, ask);
	return status;
}

export default function HealthBanner() {
	const status = useScheduler();
	const { path } = useRoute();
	const says = status && SAYS[status.state];
	if (!says) return null;
	return html`<div class="banner"><${Notice} kind=${says.kind} title=${html`${says.title}${status.ended_at && status.state === 'stopped' && html`: it last ran <${Ago} at=${status.ended_at} />`}`}>
		${says.advice} <code>${COMMANDS[status.state]}</code> <${Copy} text=${COMMANDS[status.state]} />${path !== 'health/' && html` <a href=${link('health/')}>What else is wrong</a>`}
	<//></div>`;
}
