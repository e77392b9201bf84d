/** Starts `imgc lsp` and shows the plan. All knowledge of the language is in the command. */
import { execFile } from 'node:child_process';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { LanguageClient } from 'vscode-languageclient/node';
import { type Plan, readPlan, type Row, rows, summary } from './plan.js';

let client: LanguageClient | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const view = new PlanView();
  const tree = vscode.window.createTreeView('imgc.plan', { treeDataProvider: view, showCollapseAll: true });
  view.said = (message) => (tree.message = message);
  context.subscriptions.push(
    tree,
    // Lenses of the server carry this command with a module and an item of it; else it is about the file that is open.
    vscode.commands.registerCommand('imgc.plan', async (module?: unknown, item?: unknown) => {
      const of = typeof module === 'string' ? vscode.Uri.parse(module, true) : undefined;
      await vscode.commands.executeCommand('imgc.plan.focus');
      await view.refresh(packageFolder(of));
      const row = typeof item === 'string' ? view.group(item) : undefined;
      if (row) await tree.reveal(row, { expand: true });
    }),
    vscode.commands.registerCommand('imgc.restart', restart),
    vscode.commands.registerCommand('imgc.openNode', openItem),
    vscode.workspace.onDidSaveTextDocument(async (document) => {
      const wanted = vscode.workspace.getConfiguration('imgc', document.uri).get<boolean>('plan.onSave', true);
      if (wanted && tree.visible && document.languageId === 'imgc') await view.refresh(packageFolder());
    }),
    vscode.workspace.onDidChangeConfiguration(async (change) => {
      if (change.affectsConfiguration('imgc.path')) await restart();
    }),
  );
  await restart();
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}

function command(): string {
  return vscode.workspace.getConfiguration('imgc').get<string>('path') || 'imgc';
}

async function restart(): Promise<void> {
  await client?.stop().catch(() => undefined);
  client = new LanguageClient(
    'imgc',
    'imgc',
    { command: command(), args: ['lsp'] },
    { documentSelector: [{ language: 'imgc' }] },
  );
  try {
    await client.start();
  } catch (error) {
    const choice = await vscode.window.showErrorMessage(`imgc: \`${command()} lsp\` did not start: ${error}`, 'Settings');
    if (choice) await vscode.commands.executeCommand('workbench.action.openSettings', 'imgc.path');
  }
}

/** The folder of the nearest `main.imgc` above a file, or the one that is open; else the first folder of the workspace. */
async function packageFolder(of?: vscode.Uri): Promise<string | undefined> {
  const root = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
  const open = vscode.window.activeTextEditor?.document;
  const file = of ?? (open?.languageId === 'imgc' ? open.uri : undefined);
  if (file?.scheme !== 'file') return root;
  for (let folder = path.dirname(file.fsPath); ; folder = path.dirname(folder)) {
    try {
      await vscode.workspace.fs.stat(vscode.Uri.file(path.join(folder, 'main.imgc')));
      return folder;
    } catch {
      if (folder === path.dirname(folder)) return root;
    }
  }
}

/** The plan as a tree of the side bar. */
class PlanView implements vscode.TreeDataProvider<Row> {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChangeTreeData = this.changed.event;
  private top: Row[] = [];
  private running: AbortController | undefined;
  said: (message: string | undefined) => void = () => undefined;

  async refresh(folder: Promise<string | undefined>): Promise<void> {
    const cwd = await folder;
    if (!cwd) {
      this.said('Open a folder with a main.imgc.');
      return;
    }
    this.running?.abort();
    const running = (this.running = new AbortController());
    this.said('Planning …');
    const plan = await makePlan(cwd, running.signal);
    // A newer call has its own answer.
    if (running.signal.aborted) return;
    this.top = typeof plan === 'string' ? [] : rows(plan);
    this.said(typeof plan === 'string' ? plan : summary(plan));
    this.changed.fire();
  }

  getChildren(row?: Row): Row[] {
    return row ? row.children : this.top;
  }

  /** Needed to reveal a row; only those at the top ever are. */
  getParent(): undefined {
    return undefined;
  }

  /** The first row of an item: `web["a"]` of `web`. */
  group(item: string): Row | undefined {
    return this.top.find((row) => row.state === 'group' && row.item === item);
  }

  getTreeItem(row: Row): vscode.TreeItem {
    const open = row.state === 'group' && row.description !== 'cached';
    const folded = open ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.Collapsed;
    const item = new vscode.TreeItem(row.label, row.children.length > 0 ? folded : vscode.TreeItemCollapsibleState.None);
    item.id = row.id;
    item.description = row.description;
    item.tooltip = [row.state === 'group' ? row.label : row.id, ...row.children.filter((child) => child.state === 'reason').map((child) => child.label)].join('\n');
    item.iconPath = new vscode.ThemeIcon(ICONS[row.state]);
    if (row.item) item.command = { command: 'imgc.openNode', title: 'Go to the item', arguments: [row.item] };
    return item;
  }
}

const ICONS: Record<Row['state'], string> = {
  run: 'play',
  follows: 'arrow-down',
  cached: 'check',
  refused: 'error',
  reason: 'info',
  group: 'package',
};

function makePlan(cwd: string, signal: AbortSignal): Promise<Plan | string> {
  const more = vscode.workspace.getConfiguration('imgc', vscode.Uri.file(cwd)).get<string[]>('plan.arguments', []);
  const args = ['plan', '--format', 'json', '--color', 'never', ...more];
  return new Promise((resolve) => {
    execFile(command(), args, { cwd, signal, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (error && typeof error.code !== 'number') resolve(`${command()} could not be run: ${error.message}`);
      else resolve(readPlan(stdout.trim() ? stdout : stderr));
    });
  });
}

/** Goes to the item of a node, by the server's search in all modules. */
async function openItem(name: string): Promise<void> {
  const found = await vscode.commands.executeCommand<vscode.SymbolInformation[]>(
    'vscode.executeWorkspaceSymbolProvider',
    name,
  );
  const symbol = found?.find((symbol) => symbol.name === name);
  if (symbol) await vscode.window.showTextDocument(symbol.location.uri, { selection: symbol.location.range });
}
