// The plan as rows, from what the command prints.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { buildSync } from 'esbuild';

const here = path.dirname(new URL(import.meta.url).pathname);
const source = path.join(here, '../src/plan.ts');
const { outputFiles } = buildSync({ entryPoints: [source], bundle: true, write: false, format: 'esm' });
const { readPlan, rows, summary } = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);

const node = (address, more = {}) => ({ address, kind: 'sh', mark: ' ', cause: null, why: null, below: null, seconds: null, ...more });

const plan = {
  format: 1,
  nodes: [
    node('web/from', { kind: 'rootfs.debian', seconds: 4.25 }),
    node('web/sh "a/b"', { mark: '~', cause: 'script: line 2 differs', why: { cause: 'argument' } }),
    node('web/copy "x"', { mark: '?', below: 'web/sh "a/b"' }),
    node('many["x/y"]/sh "c"', { mark: '+' }),
    node('container', { kind: 'oci.archive', mark: '?', below: 'web/sh "a/b"' }),
  ],
  to_run: 4, pending: 2, cached: 1, estimate_seconds: 12.4,
  refused: [{ address: 'vm', message: 'no backend builds it', help: 'install qemu' }],
};

test('each item has its nodes, each node its reason', () => {
  const found = rows(readPlan(`note: something\n${JSON.stringify(plan)}\n`));
  assert.deepEqual(found.map((row) => [row.label, row.description]), [
    ['vm', 'no backend builds it'],
    ['web', '2 of 3 to run'],
    ['many["x/y"]', '1 of 1 to run'],
    ['container', '1 of 1 to run'],
  ]);
  const web = found[1].children;
  assert.deepEqual(web.map((row) => [row.label, row.state, row.description]), [
    ['from', 'cached', 'rootfs.debian, 4.3s the last time'],
    ['sh "a/b"', 'run', 'sh'],
    ['copy "x"', 'follows', 'sh'],
  ]);
  assert.deepEqual(web.map((row) => row.children.map((reason) => reason.label)), [
    [], ['script: line 2 differs'], ['follows web/sh "a/b"'],
  ]);
  assert.equal(found[2].children[0].children[0].label, 'never built');
  assert.equal(found[0].children[0].label, 'install qemu');
  assert.equal(found[2].item, 'many');
  assert.equal(summary(plan), '4 to run, 2 pending, 1 cached, about 12s');
});

test('no two rows have the same id, which the editor refuses', () => {
  const ids = (all) => all.flatMap((row) => [row.id, ...ids(row.children)]);
  const all = ids(rows(plan));
  assert.equal(new Set(all).size, all.length, all.join('\n'));
});

test('without a plan the first error is told', () => {
  const diagnostic = { code: 'IMG1004', severity: 'error', message: 'unknown name `a`', primary: { file: 'main.imgc', line: 3 } };
  assert.equal(readPlan(JSON.stringify({ diagnostics: [diagnostic], event: 'diagnostics', format: 1 })), 'main.imgc:3: unknown name `a` (IMG1004)');
  assert.match(readPlan(JSON.stringify({ ...plan, format: 2 })), /format 2/);
  assert.equal(readPlan('error: cannot read x\nmore'), 'error: cannot read x');
  assert.equal(readPlan('{ broken'), '{ broken');
});
