// A message as it would be sent now, in a frame of its own.
import { html, useState, useEffect, useRef } from './vendor/preact.js';
import { send } from './api.js';
import { ProblemNotice } from './ui.js';

// html: a mail's, whose scripts never run and which asks nobody but the shop's image hosts
export function MailFrame({ content, title = 'The mail' }) {
	const frame = useRef();
	const [height, setHeight] = useState(320);
	const [ready, setReady] = useState(false);
	useEffect(() => {
		const hear = (event) => {
			if (!frame.current || event.source !== frame.current.contentWindow || !event.data) return;
			if (event.data.frame === 'ready') setReady(true);
			if (event.data.frame === 'height') setHeight(Math.min(2000, Math.max(120, Number(event.data.height) || 0)));
		};
		addEventListener('message', hear);
		return () => removeEventListener('message', hear);
	}, []);
	useEffect(() => { if (ready) frame.current.contentWindow.postMessage({ html: content }, '*'); }, [ready, content]);
	return html`<iframe ref=${frame} class="mail" src="frame.html" title=${title} tabindex="0" style=${{ height: `${height}px` }}></iframe>`;
}

export function MailPreview({ template, order, subject, onShown }) {
	const [state, set] = useState({ mail: null, problem: null });
	const [turn, again] = useState(0);
	useEffect(() => {
		let wanted = true;
		send('POST', `templates/${encodeURIComponent(template)}/render/`, { id: order.id })
			.then((mail) => { if (wanted) { set({ mail, problem: null }); onShown(mail); } }, (problem) => { if (wanted) set({ mail: null, problem }); });
		return () => { wanted = false; };
	}, [template, turn]);
	if (state.problem) return html`<${ProblemNotice} problem=${state.problem} retry=${() => again(turn + 1)} />`;
	if (!state.mail) return html`<div class="loading" aria-busy="true"><span class="hidden">Loading the mail</span></div>`;
	return html`<figure class="mail"><figcaption><strong>${subject || state.mail.subject}</strong><br /><small>As it would be now. Its links lead nowhere.</small></figcaption>
		<div class="mail-window"><${MailFrame} content=${state.mail.html} title=${`Preview: ${subject || state.mail.subject}`} /></div></figure>`;
}
