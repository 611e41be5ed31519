// Attaching tables: what is there, how it is read, what would be captured; only then it is on.
import { html, useState, useEffect } from './vendor/preact.js';
import { send, session, useGet } from './api.js';
import { link, go } from './route.js';
import { plural } from './format.js';
import { Page, Section, Field, Asked, Notice, ProblemNotice, Pill, Copy, announce } from './ui.js';
import { Mapping, merged } from './mapping.js';

const OWN = { schema: 'public', cart: { table: 'carts', id: 'id', email: 'email', customer: 'customer_id', updated_at: 'updated_at' }, lines: { table: 'cart_lines', cart: 'cart_id', sku: 'sku', name: 'name', quantity: 'quantity', unit_price: 'price' }, money: 'major', completed: 'cart.ordered_at IS NOT NULL' };
const name_of = (role) => (/^[a-z_][a-z0-9_]*$/.test(role) ? role : `"${role.replace(/"/g, '""')}"`);
const key = (one) => `${one.preset}|${one.schema}`;
const write = (mapping) => JSON.stringify(mapping, null, 2);

// A line of the answer to a trial: "sample 17" has the cart behind its state.
function sampleOf({ check_name: check, result }) {
	const found = /^(\S+) (\{.*\})\s*(.*)$/s.exec(result || '');
	try {
		return { cart_key: check.replace(/^sample /, ''), state: found[1], cart: JSON.parse(found[2]), problem: found[3] || null };
	} catch {
		return { cart_key: check.replace(/^sample /, ''), state: 'pending', cart: {}, problem: result };
	}
}

function Found({ list, picked, pick }) {
	return html`<fieldset class="found"><legend class="hidden">Tables</legend>
		${list.map((one) => html`<label key=${key(one)} class="choice"><input type="radio" name="found" checked=${picked === key(one)} onChange=${() => pick(one)} />
			<span><strong>${one.preset}</strong> in schema <code>${one.schema}</code> ${one.attached ? html`<${Pill} state="ok" label=${`attached as ${one.attached}`} />` : one.missing.length ? html`<${Pill} state="warn" label="differs" />` : html`<${Pill} state="ok" label="fits" />`}
			<br /><small class="wrap">${one.tables.join(', ')}</small>
			${one.missing.length > 0 && html`<br /><small class="problem">Not there: ${one.missing.join(', ')}</small>`}</span></label>`)}
		<label class="choice"><input type="radio" name="found" checked=${picked === 'own'} onChange=${() => pick(null)} /><span><strong>Another shop</strong><br /><small>Its tables are described by a mapping of your own.</small></span></label>
	</fieldset>`;
}

export function Attach({ shop, name: given, Cart }) {
	const found = useGet(shop ? 'attachable/' : null, { shop });
	const known = useGet(shop && given ? 'attachments/' : null, { shop });
	const [picked, setPicked] = useState(null);
	const [name, setName] = useState(given || 'main');
	const [text, setText] = useState('');
	const [trial, setTrial] = useState(null);
	const [problem, setProblem] = useState(null);
	const [busy, setBusy] = useState(false);
	const one = found.data && found.data.results.find((row) => key(row) === picked);
	const preset = one ? one.preset : picked && picked !== 'own' ? picked.split('|')[0] : null;
	const base = useGet(preset ? `presets/${encodeURIComponent(preset)}/` : null, { shop });
	const pick = (row) => {
		setPicked(row ? key(row) : 'own');
		setText(write(row ? { schema: row.schema } : OWN));
		setTrial(null);
	};
	useEffect(() => {
		if (picked || !found.data || (given && !known.data)) return;
		const own = given && known.data.results.find((row) => row.name === given);
		const best = found.data.results.find((row) => !row.attached) || found.data.results[0];
		if (own) {
			setPicked('own');
			setText(write(own.mapping));
		} else pick(best || null);
	}, [found.data, known.data]);
	let mapping = null;
	try {
		mapping = JSON.parse(text || '{}');
	} catch { /* said at its field */ }
	const whole = mapping && typeof mapping === 'object' && (preset ? base.data && merged(base.data, mapping) : mapping);
	const ask = async (dry) => {
		setBusy(true);
		setProblem(null);
		try {
			const { results } = await send('PUT', `attachments/${encodeURIComponent(name.trim() || '-')}/`, { ...(preset && { preset }), mapping, dry_run: dry });
			if (dry) setTrial({ text, name, picked, results });
			else {
				announce(`${name} is attached. The scheduler reads the carts that are there.`, 'good');
				go(`attached/${name}/`);
			}
		} catch (failure) {
			setProblem(failure);
		}
		setBusy(false);
	};
	const tried = trial && trial.text === text && trial.name === name && trial.picked === picked ? trial.results : null;
	const faults = tried && tried.filter((row) => /^FAULT/.test(row.result));
	const samples = tried && tried.filter((row) => /^sample /.test(row.check_name)).map(sampleOf);
	const checks = tried && tried.filter((row) => !/^sample /.test(row.check_name));
	const role = name_of(session().role);
	const refused = one ? one.refused : [];
	return html`<${Page} title=${given ? `Change ${given}` : 'Attach tables'}>
		<p><a href=${link(given ? `attached/${given}/` : 'attached/')}>${given ? `Back to ${given}` : 'All attached tables'}</a></p>
		<form noValidate onSubmit=${(event) => { event.preventDefault(); ask(true); }}>
		${!given && html`<${Section} title="1. Which tables" note="Tables of this database that look like those of a shop that is known. Nothing is changed by looking.">
			<${Asked} of=${found} height="6rem">${(data) => html`
				${data.results.length === 0 && html`<${Notice} title="No known shop is found in the schemas that your role may use">If the shop's tables are here, its owner gives your role the right to see them:
					<${Copy} text=${`GRANT USAGE ON SCHEMA public TO ${role};`} block /><//>`}
				<${Found} list=${data.results} picked=${picked} pick=${pick} />`}<//>
			${refused.length > 0 && html`<${Notice} kind="warn" title="Your role may not read these tables, or not put triggers on them">Everything is read with your rights, never with more. The owner of the tables gives them, or attaches:
				<${Copy} text=${`GRANT SELECT, TRIGGER ON ${refused.join(', ')} TO ${role};`} block /><//>`}
		<//>`}
		<${Section} title=${given ? 'The mapping' : '2. How they are read'}>
			${!given && html`<${Field} label="Name of the attachment" value=${name} spellcheck=${false} autocomplete="off" hint="1 to 63 of a-z, 0-9, _ and -. You see it here and in health()." onInput=${(event) => setName(event.target.value)} />`}
			<${Field} label=${preset ? 'What differs from the preset' : 'Mapping'} problem=${mapping === null ? 'This is not JSON yet.' : null}
				hint=${preset ? 'JSON. A key replaces that of the preset at any depth, null removes it: {"cart": {"phone": null}}.' : 'JSON: the tables, and which column each field comes from.'}>${(ids) => html`<textarea class="code" rows=${Math.min(24, Math.max(4, text.split('\n').length + 1))} spellcheck=${false} ...${ids} value=${text} onInput=${(event) => setText(event.target.value)} />`}<//>
			${whole && whole.cart && html`<details open=${!preset}><summary>What is read from where</summary><${Mapping} mapping=${whole} /></details>`}
			${problem && html`<${ProblemNotice} problem=${problem} />`}
			<div class="actions"><button type="submit" class=${tried && !faults.length ? 'outline' : ''} disabled=${busy || !mapping} aria-busy=${busy && !tried ? 'true' : null}>Check, and show samples</button></div>
		<//>
		<div aria-live="polite">${tried && html`<${Section} title=${given ? 'What would be captured' : '3. What would be captured'}>
			${faults.length > 0 ? html`<${Notice} kind="bad" title=${`${plural(faults.length, 'fault')}: it cannot be attached like this`}><ul>${faults.map((row) => html`<li key=${row.check_name}><strong>${row.check_name}</strong> ${row.result.replace(/^FAULT: /, '')}</li>`)}</ul><//>`
				: html`${samples.length ? html`<p class="note">${plural(samples.length, 'open cart')}, read and understood as ${samples.length === 1 ? 'it' : 'they'} would be. Nothing is on yet.</p><ul class="samples three">${samples.map((row) => html`<${Cart} key=${row.cart_key} row=${row} />`)}</ul>`
					: html`<p>Everything fits, and there is no open cart to show.</p>`}
				<div class="actions"><button type="button" disabled=${busy} aria-busy=${busy ? 'true' : null} onClick=${() => ask(false)}>${given ? 'Use this mapping' : 'Switch it on'}</button>
					<small>Triggers are put on the tables, all at once or not at all; the shop's writes go on.</small></div>`}
			<details><summary>${plural(checks.length, 'check')}</summary><dl class="facts">${checks.map((row) => html`<dt key=${row.check_name}>${row.check_name}</dt><dd key=${row.check_name + '-is'} class=${/^FAULT/.test(row.result) ? 'bad' : ''}>${row.result}</dd>`)}</dl></details>
		<//>`}</div>
		</form>
	<//>`;
}
