// Drives the packed extension in the workbench of Visual Studio Code, as code-server serves it, in Chromium: the squiggle, the
// lens that shows the view, the plan with its nodes, completion. It takes 20 seconds, and is not part of the tests that always run:
// it needs 250 MB of packages and a browser. After `npm run vsix` here, in an empty folder:
//
//   npm install --ignore-scripts code-server@4.100.3 puppeteer-core@23
//   (cd node_modules/code-server/lib/vscode && npm install --omit=dev --ignore-scripts)
//   IMGC_COMMAND=/path/to/imgc CHROMIUM=/usr/bin/chromium node /path/to/editors/vscode/test/real.mjs
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { default: puppeteer } = await import(createRequire(process.cwd() + '/').resolve('puppeteer-core'));
const code = path.join(process.cwd(), 'node_modules/code-server/lib/vscode');
const command = process.env.IMGC_COMMAND ?? 'imgc';
const browser = process.env.CHROMIUM ?? '/usr/bin/chromium';
const PATIENCE = 60_000;

const home = mkdtempSync(path.join(tmpdir(), 'imgc-vscode-'));
const [data, folder] = [path.join(home, 'data'), path.join(home, 'package')];
for (const part of ['data/Machine', 'data/User']) mkdirSync(path.join(data, part), { recursive: true });
const settings = { 'imgc.path': command, 'security.workspace.trust.enabled': false, 'workbench.startupEditor': 'none' };
for (const part of ['Machine', 'User']) writeFileSync(path.join(data, 'data', part, 'settings.json'), JSON.stringify(settings));
mkdirSync(folder);
const good = 'image box {\n  from = rootfs.scratch()\n}\n\noutput archive = oci.archive(box)\n';
writeFileSync(path.join(folder, 'main.imgc'), `${good}let wrong: Int = "x"\n`);

const env = { ...process.env, HOME: home };
const main = [path.join(code, 'out/server-main.js'), '--accept-server-license-terms', '--server-data-dir', data];
const vsix = path.join(here, 'out/imgc.vsix');
const installed = spawnSync('node', [...main, '--install-extension', vsix], { env, encoding: 'utf8' });
assert.match(installed.stdout, /successfully installed/, installed.stderr);
const port = await new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});
const server = spawn('node', [...main, '--without-connection-token', '--host', '127.0.0.1', '--port', String(port)], { env });
let chromium;
try {
  await new Promise((resolve) => server.stdout.on('data', (said) => String(said).includes('listening') && resolve()));
  chromium = await puppeteer.launch({ executablePath: browser, headless: true, args: ['--no-sandbox'] });
  const page = await chromium.newPage();
  await page.setViewport({ width: 1400, height: 900 });
  const texts = (selector) => page.$$eval(selector, (all) => all.map((one) => one.textContent));
  const until = async (what, selector, holds) => {
    const begun = Date.now();
    for (;;) {
      const found = await texts(selector);
      if (holds(found)) return found;
      if (Date.now() - begun > PATIENCE) throw new Error(`waited in vain for ${what}: ${JSON.stringify(found)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const keys = async (...all) => {
    for (const key of all) await page.keyboard.down(key);
    for (const key of all.reverse()) await page.keyboard.up(key);
  };
  const open = encodeURIComponent(JSON.stringify([['openFile', `vscode-remote://127.0.0.1:${port}${folder}/main.imgc`]]));
  await page.goto(`http://127.0.0.1:${port}/?folder=${folder}&payload=${open}`);
  await until('a squiggle below the error', '.squiggly-error', (all) => all.length === 1);
  await until('lenses without a plan', '.codelens-decoration', (all) => all.join() === 'plan,plan');
  // The lens shows the view, which tells why there is no plan.
  await page.locator('.codelens-decoration a').click();
  await until('the first error in place of a plan', '.tree-explorer-viewlet-tree-view .message', (all) =>
    all.join().includes('expected Int, found String (IMG2001)'));
  // Without the last line all is well, and saving makes the plan: items, their nodes, and each one's reason.
  await page.locator('.monaco-editor .view-lines').click();
  await keys('Control', 'End');
  await keys('Shift', 'ArrowUp');
  await page.keyboard.press('Backspace');
  await keys('Control', 's');
  await until('no squiggle', '.squiggly-error', (all) => all.length === 0);
  const rows = '.pane-body .monaco-list-row';
  await until('the plan', rows, (all) => ['box', 'archive'].every((item) => all.includes(`${item}1 of 1 to run`)));
  const nodes = await until('its nodes', rows, (all) => all.some((row) => row.startsWith('from')));
  assert.ok(nodes.some((row) => row.includes('oci.archive')), nodes.join());
  await until('lenses with the plan', '.codelens-decoration', (all) => all.join() === 'plan: 1 to run,plan: 1 pending');
  await page.locator('.monaco-editor .view-lines').click();
  await keys('Control', 'End');
  await page.keyboard.type('output second = oci.');
  await until('completion', '.suggest-widget .monaco-list-row', (all) => all.some((row) => row.startsWith('archive')));
  assert.deepEqual(await texts('.notification-toast .notification-list-item-message'), []);
  console.log('all of it holds');
} catch (error) {
  await (await chromium?.pages())?.at(-1)?.screenshot({ path: path.join(here, 'out/real.png') });
  throw error;
} finally {
  await chromium?.close();
  server.kill();
  rmSync(home, { recursive: true, force: true });
}
