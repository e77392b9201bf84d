// What is in the package, and that what its manifest names is there.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { inflateRawSync } from 'node:zlib';

const here = path.dirname(new URL(import.meta.url).pathname);

/** The files of a zip archive, by its central directory. */
function unzip(file) {
  const bytes = readFileSync(file);
  const end = bytes.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]));
  const files = new Map();
  let at = bytes.readUInt32LE(end + 16);
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left--) {
    const [method, size, local] = [bytes.readUInt16LE(at + 10), bytes.readUInt32LE(at + 20), bytes.readUInt32LE(at + 42)];
    const [name, extra, comment] = [bytes.readUInt16LE(at + 28), bytes.readUInt16LE(at + 30), bytes.readUInt16LE(at + 32)];
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const packed = bytes.subarray(start, start + size);
    files.set(bytes.toString('utf8', at + 46, at + 46 + name), method === 8 ? inflateRawSync(packed) : packed);
    at += 46 + name + extra + comment;
  }
  return files;
}

const files = unzip(path.join(here, '../out/imgc.vsix'));

test('the package holds what its manifest names', () => {
  const manifest = JSON.parse(files.get('extension/package.json'));
  const { grammars, languages, snippets, viewsContainers } = manifest.contributes;
  const named = [
    manifest.main, ...grammars.map((it) => it.path), ...languages.map((it) => it.configuration), ...snippets.map((it) => it.path),
    ...viewsContainers.activitybar.map((it) => it.icon),
  ];
  for (const name of named) {
    assert.ok(files.has(path.posix.join('extension', name)), `${name} in ${[...files.keys()]}`);
  }
  assert.ok(files.has('extension.vsixmanifest'));
});

test('nothing else is in it', () => {
  const others = [...files.keys()].filter((name) => /node_modules|\.ts$|test\/|package-lock|tsconfig/.test(name));
  assert.deepEqual(others, []);
});

test('the extension is one file, with the client in it and the editor left out', () => {
  const code = files.get('extension/out/extension.js').toString();
  assert.match(code, /require\("vscode"\)/);
  assert.match(code, /textDocument\/didOpen/);
  assert.doesNotMatch(code, /require\("vscode-languageclient/);
});

test('each snippet and setting is whole', () => {
  const manifest = JSON.parse(files.get('extension/package.json'));
  const snippets = JSON.parse(files.get('extension/snippets/imgc.json'));
  for (const [name, snippet] of Object.entries(snippets)) {
    assert.ok(snippet.prefix && snippet.description && snippet.body.length > 0, name);
  }
  const code = files.get('extension/out/extension.js').toString();
  for (const { command } of manifest.contributes.commands) assert.ok(code.includes(`"${command}"`), command);
  for (const key of Object.keys(manifest.contributes.configuration.properties)) {
    const short = key.replace(/^imgc\./, '');
    assert.ok(short === 'trace.server' || code.includes(`"${short}"`), key);
  }
});
