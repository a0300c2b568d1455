/** Files that are not what they say, or are two things at once; and how those that are taken come back. */
import { gzipSync } from 'node:zlib';
import { z } from 'zod';
import { casePath, forEach, type Attack } from '../attack.ts';
import { multipart, pngWith, type Part } from '../multipart.ts';

const html = '<!doctype html><html><script>alert(document.domain)</script></html>';
const svg = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>';
const script = 'fetch("/v1/cases").then(a => a.text())';

/** What no photo is, by what it really is. */
const disguised: readonly (readonly [string, Buffer | string])[] = [
  ['HTML', html],
  ['HTML after a byte order mark', `\uFEFF${html}`],
  ['SVG', svg],
  ['SVG with a declaration', `<?xml version="1.0"?>${svg}`],
  ['a script', script],
  ['a shell script', '#!/bin/sh\nid\n'],
  ['PHP', '<?php system($_GET[0]); ?>'],
  ['a PDF', '%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n%%EOF'],
  ['a ZIP', Buffer.from('504b0304140000000800000021000000000000000000000000000100000061', 'hex')],
  ['a compressed bomb', gzipSync(Buffer.alloc(5_000_000))],
  ['a program', Buffer.concat([Buffer.from('7f454c46020101', 'hex'), Buffer.alloc(200)])],
  ['a Windows program', Buffer.concat([Buffer.from('4d5a9000', 'hex'), Buffer.alloc(200)])],
  ['a GIF', Buffer.concat([Buffer.from('GIF89a'), Buffer.from(script)])],
  ['a BMP', Buffer.concat([Buffer.from('BM'), Buffer.alloc(100)])],
  ['a TIFF', Buffer.concat([Buffer.from('49492a00', 'hex'), Buffer.alloc(100)])],
  ['an animation nobody allowed', Buffer.concat([Buffer.from('RIFF'), Buffer.alloc(4), Buffer.from('AVI LIST'), Buffer.alloc(100)])],
  ['almost a PNG', Buffer.from('89504e470d0a1a0b', 'hex')],
  ['HTML, then a PNG', Buffer.concat([Buffer.from(html), pngWith()])],
  ['nothing but spaces', ' '.repeat(5000)],
  ['zeros', Buffer.alloc(5000)],
  ['words', 'words'],
];

export const refusedUploads: Attack = {
  name: 'uploads that lie',
  tries: 'pages, scripts, archives and programs as image/png; no file, many files, too large, cut off, wrong length, as other content types',
  holds: 'refused by what the bytes are, and nothing of them is kept',
  leaves: 'nothing',
  async run(probe, { victim }) {
    const as = victim.staff.agent;
    const customer = { name: 'a customer', viewer: { case: victim.cases.review } };
    const paths = [
      { path: casePath(victim.cases.review, '/evidence'), as },
      { path: `/v1/c/${victim.links.open}/evidence`, as: customer },
    ];
    for (const door of paths) {
      await forEach(disguised, ([what, bytes]) =>
        probe.refused({ method: 'POST', ...door, ...multipart([{ filename: `${what}.png`, type: 'image/png', bytes }]) }, 'fileType'),
      );
      const photo: Part = { filename: 'a.png', type: 'image/png', bytes: pngWith('never kept') };
      // All or none: what is right goes with what is wrong.
      await probe.refused({ method: 'POST', ...door, ...multipart([photo, { filename: 'b.png', bytes: html }]) }, 'fileType');
      await probe.refused({ method: 'POST', ...door, ...multipart([photo, { filename: 'b.png', bytes: '' }]) }, 'noFile');
      await probe.refused(
        { method: 'POST', ...door, ...multipart(Array.from({ length: 30 }, (_, i) => ({ filename: `${i}.png`, bytes: pngWith(`never kept ${i}`) }))) },
        'evidenceFull',
      );
      await probe.refused({ method: 'POST', ...door, ...multipart([{ filename: 'large.png', bytes: pngWith(Buffer.alloc(21_000_000)) }]) }, 'fileTooLarge');
      for (const parts of [[], [{ name: 'file', bytes: 'no file name' }], [{ name: 'other', bytes: 'x'.repeat(50_000) }], [{ filename: '', bytes: pngWith() }]])
        await probe.refused({ method: 'POST', ...door, ...multipart(parts) }, 'noFile', 'malformed');
      await probe.refused(
        { method: 'POST', ...door, ...multipart(Array.from({ length: 500 }, (_, i) => ({ name: `field-${i}`, bytes: 'x' }))) },
        'noFile',
        'malformed',
      );
      const { body } = multipart([photo]);
      for (const type of [
        'application/json',
        'image/png',
        'multipart/mixed; boundary=x',
        'application/x-www-form-urlencoded',
        'text/plain; multipart/form-data',
      ])
        await probe.refused({ method: 'POST', ...door, headers: { 'content-type': type }, body }, 'notMultipart');
      for (const type of [
        'multipart/form-data',
        'multipart/form-data; boundary=',
        `multipart/form-data; boundary=${'x'.repeat(500)}`,
        'multipart/form-data; boundary=another',
        'multipart/form-data; boundary="\\"',
      ])
        await probe.refused({ method: 'POST', ...door, headers: { 'content-type': type }, body }, 'notMultipart', 'malformed', 'noFile');
      await probe.refused(
        { method: 'POST', ...door, headers: { ...multipart([photo]).headers, 'content-encoding': 'gzip' }, body: gzipSync(body) },
        'malformed',
        'noFile',
        'notMultipart',
      );
      // Cut off in the middle, in the head of a part, and before the end of the last one.
      const whole = multipart([photo, { filename: 'b.png', bytes: pngWith(Buffer.alloc(300_000, 7)) }]);
      const authorization = door.as === as ? [`Authorization: Bearer ${as.token}`] : [];
      const head = (length: number): string =>
        [`POST ${door.path} HTTP/1.1`, 'Host: a', ...authorization, `Content-Type: ${whole.headers['content-type']}`, `Content-Length: ${length}`, '', ''].join(
          '\r\n',
        );
      for (const [length, sent] of [
        [whole.body.length, 40],
        [whole.body.length, 300],
        [whole.body.length, 200_000],
        [whole.body.length + 1000, whole.body.length],
        [200, 200],
      ] as const) {
        const { statuses } = await probe.raw([head(length), whole.body.subarray(0, sent)], { endAfter: true, forMs: 3000, viewer: door.as.viewer });
        probe.must(
          statuses.every((status) => status >= 400),
          `an upload of ${length} bytes that was cut after ${sent} was answered ${statuses.join(', ')}`,
        );
      }
    }
  },
};

const kept = z.object({ evidence: z.array(z.object({ id: z.string(), type: z.string(), kind: z.string() })).min(1) });

export const takenUploads: Attack = {
  name: 'uploads that are two things',
  tries: 'pictures that are pages, scripts or archives too, under names that climb, with types of their own; then downloads of them',
  holds: 'what comes back is to be saved: its type by its bytes, nosniff, a sandbox, a name of ours; no file lies elsewhere',
  leaves: 'rows',
  async run(probe, { thief, playground }) {
    const { case: of, link } = await playground();
    const as = thief.staff.agent;
    const customer = { name: 'a customer', viewer: { case: of } };
    const path = casePath(of, '/evidence');
    const both: readonly Part[] = [
      { filename: 'page.html', type: 'text/html', bytes: pngWith(html) },
      { filename: '../../../../../../tmp/abuse.png', type: 'image/svg+xml', bytes: pngWith(svg) },
      { filename: '..\\..\\abuse.js', type: 'text/javascript', bytes: pngWith(script) },
      { filename: '/etc/cron.d/abuse', type: 'image/png\r\nx-injected: 1', bytes: pngWith('PK\u0003\u0004 and a ZIP') },
      { filename: 'a\u0000.png', type: 'application/x-php', bytes: pngWith('<?php ?>') },
      { filename: `${'长'.repeat(300)}.png`, type: 'x'.repeat(300), bytes: pngWith('a long name') },
      { filename: '"; filename="b.html', bytes: pngWith('a name that ends early') },
    ];
    for (const part of both) {
      const answer = await probe.ask({ method: 'POST', path, as, ...multipart([part]) });
      const { success, data } = kept.safeParse(answer.json);
      // A head that is not well-formed may be refused; what is taken has to come back as a picture.
      if (!success) {
        probe.must(answer.status >= 400, `${part.filename} was answered ${answer.status}`);
        continue;
      }
      for (const { id, type } of data.evidence) {
        probe.must(type === 'image/png', `${part.filename} is kept as ${type}`);
        for (const [from, who] of [
          [{ method: 'POST', path: `/v1/evidence/${id}/look`, body: { why: 'enquiry' } }, as],
          [{ path: `/c/${link}/evidence/${id}` }, customer],
        ] as const) {
          const { path: place } = from;
          const file = await probe.ask({ ...from, as: who, headers: { accept: 'text/html', range: 'bytes=0-10' } });
          const {
            'content-type': told,
            'content-disposition': disposition = '',
            'content-security-policy': policy = '',
            'x-content-type-options': sniff,
          } = file.headers;
          probe.must(file.status === 200 || file.status === 206, `${place} was answered ${file.status}`);
          probe.must(told === 'image/png', `${place} comes as ${told ?? 'nothing'}`);
          probe.must(disposition === `attachment; filename="photo-${id}.png"`, `${place} comes ${disposition}`);
          probe.must(/sandbox/.test(String(policy)) && /default-src 'none'/.test(String(policy)), `${place} may do ${String(policy)}`);
          probe.must(sniff === 'nosniff', `${place} may be sniffed`);
        }
      }
    }
  },
};
