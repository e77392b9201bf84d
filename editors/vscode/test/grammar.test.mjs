// The TextMate grammar on the examples and the standard library, as the editor runs it.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import oniguruma from 'vscode-oniguruma';
import textmate from 'vscode-textmate';

const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
const root = process.env.IMGC_ROOT ?? path.join(here, '../../..');
const wasm = readFileSync(createRequire(import.meta.url).resolve('vscode-oniguruma/release/onig.wasm'));
await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));

/** Stands for the grammars of other languages, which the editor brings. */
const shell = (scopeName) => ({ scopeName, patterns: [{ match: '\\b(set|echo|if|then|fi)\\b', name: `keyword.of.${scopeName}` }] });

const registry = new textmate.Registry({
  onigLib: Promise.resolve({
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (text) => new oniguruma.OnigString(text),
  }),
  loadGrammar: async (scope) =>
    scope === 'source.imgc' ? JSON.parse(readFileSync(path.join(here, '../syntaxes/imgc.tmLanguage.json'), 'utf8')) : shell(scope),
});
const grammar = await registry.loadGrammar('source.imgc');

/** Every token of a text with its innermost scopes. */
function tokens(text) {
  let state = textmate.INITIAL;
  const found = [];
  for (const line of text.split('\n')) {
    const result = grammar.tokenizeLine(line, state);
    assert.equal(result.stoppedEarly, false);
    state = result.ruleStack;
    for (const token of result.tokens) {
      const word = line.slice(token.startIndex, token.endIndex);
      if (word.trim()) found.push({ word: word.trim(), scopes: token.scopes, line });
    }
  }
  return { found, state };
}

function modules(folder) {
  return readdirSync(path.join(root, folder), { recursive: true })
    .filter((name) => name.endsWith('.imgc'))
    .map((name) => path.join(folder, name));
}

const sources = [...modules('examples'), ...modules('stdlib')];
const reserved = ['let', 'if', 'then', 'else', 'for', 'in', 'match', 'use', 'where', 'none', 'true', 'false'];
const starts = ['param', 'image', 'output', 'recipe', 'record', 'secret', 'test', 'fn', 'enum', 'import', 'extern', 'pub', 'edition'];

test('no keyword is without a scope', () => {
  assert.ok(sources.length > 25, `only ${sources.length} modules`);
  for (const source of sources) {
    for (const { word, scopes, line } of tokens(readFileSync(path.join(root, source), 'utf8')).found) {
      const inner = scopes.join(' ');
      if (/comment|string|meta\.embedded/.test(inner) && !/meta\.interpolation/.test(inner)) continue;
      const begins = starts.includes(word) && line.trimStart().startsWith(word) && /^\s*\w+\s+["{\w]/.test(line);
      // A field may be called as an item is.
      if (reserved.includes(word) || (begins && !/^\s+/.test(line))) {
        assert.match(scopes.at(-1), /keyword|constant\.language|storage/, `${source}: ${word} in ${line}: ${inner}`);
      }
      assert.notEqual(scopes.at(-1), 'source.imgc', `${source}: ${JSON.stringify(word)} has no colour in ${line}`);
      assert.doesNotMatch(inner, /invalid/, `${source}: ${word} in ${line}`);
    }
  }
});

test('every text and bracket of a module is closed at its end', () => {
  for (const source of sources) {
    const { state } = tokens(readFileSync(path.join(root, source), 'utf8'));
    assert.equal(state.depth, 1, `${source} ends inside of something`);
  }
});

test('words are what they are', () => {
  const text = [
    '/// Documented.',
    'param size: Size = 4GiB where size in 2GiB..=64GiB',
    'image web {',
    '  use apt.install(["nginx"])',
    '  sh "enable" {',
    '    script = """',
    '      set -eu // \\{size} here',
    '      """',
    '    timeout = 5m',
    '  }',
    '  write "motd" { dest = "/etc/motd", text = "a\\n\\{size}" }',
    '}',
    'output vm: Artifact<qcow2> = disk.image(web, boot: uefi)',
    'let target = linux(debian)/amd64',
  ].join('\n');
  const { found } = tokens(text);
  const scope = (word, line = '') => found.find((token) => token.word === word && token.line.includes(line))?.scopes.join(' ');
  const expected = [
    ['/// Documented.', '', /comment\.line\.documentation/],
    ['param', '', /keyword\.declaration/],
    ['size', 'param', /variable\.parameter/],
    ['Size', '', /entity\.name\.type/],
    ['4GiB', '', /constant\.numeric/],
    ['where', '', /keyword/],
    ['web', 'image', /entity\.name\.type/],
    ['use', '', /keyword/],
    ['install', '', /entity\.name\.function/],
    ['sh', '', /function\.macro/],
    ['script', '', /property/],
    ['set', '', /meta\.embedded\.shell.*keyword\.of\.source\.shell/],
    ['\\{', 'set -eu', /interpolation\.begin/],
    ['size', 'set -eu', /variable/],
    ['timeout', '', /property/],
    ['5m', '', /constant\.numeric/],
    ['write', '', /function\.macro/],
    ['\\n', '', /character\.escape/],
    ['image', 'disk', /entity\.name\.function/],
    ['boot', '', /variable\.parameter/],
    ['linux(debian)/amd64', '', /platform/],
  ];
  for (const [word, line, wanted] of expected) assert.match(scope(word, line) ?? `no token ${word}`, wanted, word);
});
