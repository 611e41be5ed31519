// Correcting an order in place: contact, address, lines, charges. What somebody else
// changed meanwhile is shown beside what was typed here, and nothing typed is lost.
import { html, useState, useEffect, useMemo, useRef } from './vendor/preact.js';
import { get, send } from './api.js';
import { useKeys } from './keys.js';
import { guardLeaving } from './route.js';
import { money, ago } from './format.js';
import { Field, Notice, ProblemNotice, Section, announce, confirm } from './ui.js';
import { ADDRESS, CHARGES, CONTACT, changedIn, check, compare, fieldOf, flat, inWords, labelOf, linesOf, merge, patchOf, totals } from './order_fields.js';

const shown = (name, value, currency) => (name.startsWith('line.') ? (value ? `${value.quantity} × ${money(value.unit_price, currency)}` : 'not in the cart')
	: CHARGES.some(([charge]) => charge === name) ? money(value || 0, currency) : value || '(empty)');

// What was changed on both sides; the person says which one counts.
function Conflict({ conflict, base, mine, currency, onTake, onApply, onTakeAll }) {
	const { theirs, both, onlyTheirs, who, at, version } = conflict;
	const rows = [...both, ...onlyTheirs];
	return html`<section class="card conflict" role="alert" aria-labelledby="conflict" tabindex="-1">
		<h2 id="conflict">Somebody else has changed this order</h2>
		<p>${who ? html`<strong>${who}</strong> saved it` : 'It was saved'}${at && ` ${ago(at)}`} while you were editing; it is at version ${version} now. Nothing that you typed is lost${both.length
			? '. Choose which one counts, and save again.' : ', and nothing that you changed was touched.'}</p>
		${rows.length > 0 && html`<div class="table-wrap"><table class="keep" aria-label="What was changed on both sides">
			<thead><tr><th scope="col">Field</th><th scope="col">Before</th><th scope="col">Theirs</th><th scope="col">Mine</th></tr></thead>
			<tbody>${rows.map((name) => html`<tr key=${name}><th scope="row">${labelOf(name, theirs, base, mine)}</th><td class="soft">${shown(name, base[name], currency)}</td>
				${both.includes(name) ? ['theirs', 'mine'].map((side) => html`<td key=${side}><label class="pick"><input type="radio" name=${'take ' + name} checked=${(side === 'theirs') === Boolean(conflict.take[name])}
					onChange=${() => onTake(name, side === 'theirs')} /> ${shown(name, side === 'mine' ? mine[name] : theirs[name], currency)}</label></td>`)
				: html`<td colspan="2">${shown(name, theirs[name], currency)} <span class="soft">(taken: you did not change it)</span></td>`}</tr>`)}</tbody></table></div>`}
		${conflict.closed ? html`<p>The order is ${conflict.closed} now and cannot be edited any more. A note can be added.</p>` : html`<div class="actions">
			<button type="button" onClick=${onApply}>Apply mine to version ${version} and save</button>
			<button type="button" class="outline secondary" onClick=${onTakeAll}>Take theirs, drop mine</button></div>`}
	</section>`;
}

function Lines({ draft, base, put, problems, currency }) {
	const set = (name, part) => (event) => put(name, { ...draft[name], [part]: event.target.value });
	const box = (name, part, label, more) => html`<${Field} label=${label} name=${`${name}/${part}`} value=${draft[name][part] ?? ''} problem=${problems[`${name}/${part}`]} onInput=${set(name, part)} autocomplete="off" ...${more} />`;
	const names = linesOf(draft);
	const gone = Object.keys(base).filter((name) => name.startsWith('line.') && !draft[name]);
	const add = () => {
		let n = 1;
		while (`line.+${n}` in draft) n++;
		put(`line.+${n}`, { sku: '', name: '', quantity: '1', unit_price: '' });
		setTimeout(() => { const first = document.getElementsByName(`line.+${n}/sku`)[0]; if (first) first.focus(); });
	};
	return html`<${Section} title="Items">
		${names.map((name) => {
			const line = draft[name];
			const fresh = name.startsWith('line.+');
			return html`<fieldset key=${name} class="edit-line"><legend class="hidden">${line.name || line.sku || 'New line'}</legend>
				${fresh ? html`${box(name, 'sku', 'Article number')}${box(name, 'name', 'Name')}`
				: html`<div class="what"><strong>${line.name || line.sku}</strong><br /><span class="soft">${[line.variant, line.name && line.sku].filter(Boolean).join(' · ')}</span></div>`}
				${box(name, 'quantity', 'Quantity', { inputmode: 'numeric', size: 6 })}
				${box(name, 'unit_price', `Price (${currency})`, { inputmode: 'decimal', size: 10 })}
				<button type="button" class="outline secondary small" aria-label=${`Remove ${line.name || line.sku || 'the new line'}`} onClick=${() => put(name, undefined)}>Remove</button>
			</fieldset>`;
		})}
		${names.length === 0 && html`<p class="soft">No line is left.</p>`}
		${gone.map((name) => html`<p key=${name} class="removed"><s>${labelOf(name, base)}</s> is removed. <button type="button" class="link" onClick=${() => put(name, base[name])}>Put it back</button></p>`)}
		<button type="button" class="outline small add" onClick=${add}>Add a line</button>
	<//>`;
}

export function OrderEdit({ order, onSaved, onCancel }) {
	const [base, setBase] = useState(() => ({ version: order.version, history: order.history.length, map: flat(order) }));
	const [draft, setDraft] = useState(base.map);
	const [problems, setProblems] = useState({});
	const [problem, setProblem] = useState(null);
	const [conflict, setConflict] = useState(null);
	const [busy, setBusy] = useState(false);
	const form = useRef();
	const dirty = useMemo(() => changedIn(base.map, draft), [base, draft]);
	const { currency } = order;
	const put = (name, value) => {
		setDraft((old) => ({ ...old, [name]: value }));
		setProblems(({ [name]: _, ...rest }) => Object.fromEntries(Object.entries(rest).filter(([key]) => !key.startsWith(name + '/'))));
	};
	const drop = async () => {
		if (dirty.length === 0 || await confirm({ title: 'Drop what you typed?', body: `${dirty.map((name) => labelOf(name, draft, base.map)).join(', ')}: nothing of it was saved.`, action: 'Drop it', cancel: 'Go on editing', danger: true })) onCancel();
	};
	useKeys({ Escape: drop }, { Escape: 'Leave the edit', 'Ctrl+Enter': 'Save' });
	useEffect(() => {
		const first = form.current && form.current.querySelector('input');
		if (first) first.focus();
	}, []);
	useEffect(() => (dirty.length === 0 ? undefined : guardLeaving(() => confirm({ title: 'Leave without saving?', body: 'What you typed here was not saved.', action: 'Leave', cancel: 'Stay', danger: true }))), [dirty.length > 0]);
	const refuse = (wrong) => {
		setProblems(wrong);
		setTimeout(() => form.current?.querySelector('[aria-invalid=true]')?.focus());
	};

	// Reads what there is now and sets it against mine.
	const meet = async () => {
		const now = await get(`incomplete-orders/${order.id}/`);
		const theirs = flat(now);
		const since = now.history.slice(base.history).filter(({ event }) => event !== 'note');
		const last = since.filter(({ who }) => who).pop() || since.pop();
		setConflict({ now, theirs, ...compare(base.map, draft, theirs), take: {}, version: now.version, closed: now.closed_at ? now.status : '',
			who: last && (last.who || (last.event === 'updated' ? 'The customer' : 'A deadline')), at: last && last.at });
		setTimeout(() => document.querySelector('.conflict')?.focus());
	};
	const save = async (event, on = base, what = draft) => {
		event?.preventDefault();
		const wrong = check(what);
		setProblem(null);
		setProblems({});
		if (Object.keys(wrong).length) return void refuse(wrong);
		const body = patchOf(on.map, what);
		if (Object.keys(body).length === 0) return void onSaved(null);
		setBusy(true);
		try {
			const saved = await send('PATCH', `incomplete-orders/${order.id}/`, body, { 'If-Match': `"${on.version}"` });
			announce('Saved.', 'good');
			onSaved(saved);
		} catch (failure) {
			setBusy(false);
			if (failure.code === 'IC009') return void meet().catch(setProblem);
			const { field, part } = fieldOf(failure, what);
			if (field) refuse({ [part ? `${field}/${part}` : field]: inWords(failure) });
			else setProblem(failure);
		}
	};
	const apply = () => {
		const on = { version: conflict.now.version, history: conflict.now.history.length, map: conflict.theirs };
		const what = merge(base.map, draft, conflict.theirs, conflict.take);
		setBase(on);
		setDraft(what);
		setConflict(null);
		save(null, on, what);
	};
	const inputs = (fields, prefix = '') => fields.map(([name, label]) => html`<${Field} key=${name} label=${label} name=${prefix + name} value=${draft[prefix + name]} problem=${problems[prefix + name]}
		type=${name === 'delivery_instructions' ? 'textarea' : name === 'email' && !prefix ? 'email' : 'text'} autocomplete="off" class=${'is-' + name} onInput=${(event) => put(prefix + name, event.target.value)} />`);
	const { subtotal, total } = totals(draft);
	const before = totals(base.map).total;
	return html`<form ref=${form} class="order-edit" noValidate onSubmit=${save} onKeyDown=${(event) => {
		if (event.key === 'Escape' && !event.defaultPrevented) { event.preventDefault(); drop(); }
		if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) save(event);
	}}>
		${problem && html`<${ProblemNotice} problem=${problem} />`}
		${conflict && html`<${Conflict} conflict=${conflict} base=${base.map} mine=${draft} currency=${currency} onApply=${apply}
			onTake=${(name, yes) => setConflict({ ...conflict, take: { ...conflict.take, [name]: yes } })} onTakeAll=${() => onSaved(conflict.now)} />`}
		<div class="split"><div>
			<${Lines} draft=${draft} base=${base.map} put=${put} problems=${problems} currency=${currency} />
			<${Section} title="Charges"><div class="edit-grid">${inputs(CHARGES)}${inputs([['coupon_code', 'Coupon']])}</div>
				<p class="sum">Subtotal ${money(subtotal, currency)}, <strong>total ${money(total, currency)}</strong>${Number.isFinite(total) && Math.abs(total - before) > 1e-9 && html` <span class="soft">(was ${money(before, currency)})</span>`}</p>
				${total < 0 && html`<${Notice} kind="warn" title="The discounts are larger than the rest.">So it could not be converted.<//>`}<//>
		</div><div>
			<${Section} title="Contact"><div class="edit-grid">${inputs(CONTACT)}</div><//>
			<${Section} title="Shipping address"><div class="edit-grid">${inputs(ADDRESS, 'address.')}</div><//>
		</div></div>
		<div class="save-bar">
			<span class="soft">${dirty.length === 0 ? 'Nothing changed yet' : dirty.map((name) => labelOf(name, draft, base.map)).filter((label, i, all) => all.indexOf(label) === i).join(', ')}</span>
			<button type="button" class="outline secondary" onClick=${drop}>Cancel</button>
			<button type="submit" disabled=${busy || dirty.length === 0} aria-busy=${busy ? 'true' : null}>Save</button>
		</div>
	</form>`;
}

