-- Drives imgc in Neovim as its users do: the built-in client, the set-up of `editors/nvim`, the real server.
-- Each case works in a folder of its own; what it found is printed, the first thing that is missing ends it.
local folder, command = vim.env.IMGC_FOLDER, vim.env.IMGC_COMMAND

-- Waits are long for a machine with much else to do; they end with what they wait for.
local PATIENCE = 60000

local function lines()
  return vim.api.nvim_buf_get_lines(0, 0, -1, false)
end

local function text()
  return table.concat(lines(), '\n')
end

local function fail(message)
  local function show(value)
    return vim.inspect(value)
  end
  io.stderr:write('FAILED: ' .. message .. '\ntext:\n' .. text() .. '\ndiagnostics: ' .. show(vim.diagnostic.get(0)) .. '\n')
  local log = io.open(vim.lsp.get_log_path())
  if log then
    io.stderr:write('log:\n' .. log:read('*a') .. '\n')
  end
  vim.cmd('cquit 1')
end

local function expect(holds, message)
  if not holds then
    fail(message)
    error(message)
  end
end

local function wait(message, condition)
  expect(vim.wait(PATIENCE, condition, 20), 'waited in vain: ' .. message)
end

--- The place of a part of the text: row and column from 0.
local function find(part)
  for row, line in ipairs(lines()) do
    local column = line:find(part, 1, true)
    if column then
      return row - 1, column - 1
    end
  end
  fail(part .. ' is not in the text')
  error(part)
end

local function cursor(part, after)
  local row, column = find(part)
  vim.api.nvim_win_set_cursor(0, { row + 1, column + (after and #part or 0) })
end

--- Writes `new` in the place of the first `old`, as typing would.
local function replace(old, new)
  local row, column = find(old)
  vim.api.nvim_buf_set_text(0, row, column, row, column + #old, vim.split(new, '\n'))
end

local function open(path)
  vim.cmd('edit ' .. vim.fn.fnameescape(folder .. '/' .. path))
  expect(vim.bo.filetype == 'imgc', 'the file type of ' .. path .. ' is ' .. vim.bo.filetype)
  wait('a client for ' .. path, function()
    local attached = false
    for _, client in pairs(vim.lsp.buf_get_clients(0)) do
      attached = attached or client.initialized
    end
    return attached
  end)
end

local function ask(method, params)
  local answers, failure = vim.lsp.buf_request_sync(0, method, params, PATIENCE)
  expect(answers, method .. ' was not answered: ' .. tostring(failure))
  local _, answer = next(answers)
  expect(answer and not answer.error and not answer.err, method .. ': ' .. vim.inspect(answer))
  return answer.result
end

local function diagnostics(message, condition)
  wait(message, function()
    return condition(vim.diagnostic.get(0))
  end)
end

--- Whether a diagnostic has a word in its message.
local function told(word)
  return function(all)
    for _, one in ipairs(all) do
      if one.message:find(word, 1, true) then
        return true
      end
    end
    return false
  end
end

--- No error is left.
local function correct(all)
  for _, one in ipairs(all) do
    if one.severity == vim.diagnostic.severity.ERROR then
      return false
    end
  end
  return true
end

--- Nothing is wrong, and that is said of the text as it is: a wrong name is told, and forgotten when it goes.
local function clean(part)
  replace(part, part .. '_wrong')
  diagnostics('a diagnostic of ' .. part .. '_wrong', told(part:match('[%w_]+$') .. '_wrong'))
  replace(part .. '_wrong', part)
  diagnostics('no diagnostics', function(all)
    return #all == 0
  end)
end

local function client_encoding()
  local _, client = next(vim.lsp.buf_get_clients(0))
  return client.offset_encoding
end

local cases = {}

--- An error is told; its fix, applied as an action, takes it away.
function cases.action()
  open('site/main.imgc')
  replace('apt.install(server)', 'apt.install(servr)')
  diagnostics('an unknown name', told('servr'))
  local found = vim.diagnostic.get(0)[1]
  expect(#vim.diagnostic.get(0) == 1, 'one cause, one diagnostic')
  cursor('servr')
  local params = vim.lsp.util.make_range_params()
  local original = found.user_data and found.user_data.lsp or {}
  params.context = {
    diagnostics = {
      {
        range = {
          start = { line = found.lnum, character = found.col },
          ['end'] = { line = found.end_lnum, character = found.end_col },
        },
        message = found.message,
        severity = found.severity,
        code = found.code or original.code,
        source = found.source,
      },
    },
  }
  local chosen
  for _, action in ipairs(ask('textDocument/codeAction', params) or {}) do
    if action.kind == 'quickfix' and not chosen then
      chosen = action
    end
  end
  expect(chosen, 'a fix of the unknown name')
  if not chosen.edit then
    chosen = ask('codeAction/resolve', chosen)
  end
  vim.lsp.util.apply_workspace_edit(chosen.edit, client_encoding())
  expect(text():find('apt.install(server)', 1, true), 'the fix writes the name')
  diagnostics('no diagnostics after the fix', function(all)
    return #all == 0
  end)
end

--- What is completed is written, and is right.
function cases.completion()
  open('site/main.imgc')
  replace('    mode = 0o644', '    mode = 0o644\n    own')
  cursor('    own', true)
  -- The cursor stands behind the last letter only where text is typed.
  local params = vim.lsp.util.make_position_params()
  local row, column = find('    own')
  params.position = { line = row, character = column + #'    own' }
  local answer = ask('textDocument/completion', params)
  local chosen
  for _, item in ipairs(answer.items or answer) do
    if item.label == 'owner' then
      chosen = item
    end
  end
  expect(chosen, 'owner among the fields of the step: ' .. vim.inspect(answer))
  if chosen.textEdit then
    local edit = vim.deepcopy(chosen.textEdit)
    edit.range = edit.range or edit.insert
    vim.lsp.util.apply_text_edits({ edit }, 0, client_encoding())
  else
    replace('    own', '    ' .. (chosen.insertText or chosen.label))
  end
  local resolved = ask('completionItem/resolve', chosen)
  expect(resolved.documentation or resolved.detail, 'the field is described: ' .. vim.inspect(resolved))
  local written = text():match('\n    owner[^\n]*')
  expect(written, 'the field is written')
  replace(written:sub(2), '    owner = "root"')
  clean('(server')
end

--- A name is changed wherever it stands, in both files; then the program still checks.
function cases.rename()
  open('two/main.imgc')
  clean('lib.greeting')
  cursor('lib.greeting')
  vim.api.nvim_win_set_cursor(0, { vim.fn.line('.'), vim.fn.col('.') + 4 })
  vim.lsp.buf.rename('welcome')
  wait('the new name', function()
    return text():find('lib.welcome', 1, true) ~= nil
  end)
  expect(not text():find('greeting', 1, true), 'the old name is gone')
  clean('lib.welcome')
  vim.cmd('wall')
  open('two/lib.imgc')
  expect(text():find('pub let welcome', 1, true), 'the other file follows')
  expect(not text():find('greeting', 1, true), 'the old name is gone from the other file')
  vim.cmd('wall')
end

--- The text is brought into the style.
function cases.format()
  open('site/main.imgc')
  local before = text()
  replace('  copy "site" {', 'copy    "site"   {')
  replace('    mode = 0o644', '  mode=0o644')
  if vim.lsp.buf.formatting_sync then
    vim.lsp.buf.formatting_sync(nil, PATIENCE)
  else
    vim.lsp.buf.format({ timeout_ms = PATIENCE })
  end
  expect(text() == before, 'the text is as it was')
  clean('(server')
end

--- What is asked by looking: hover, definition, references, symbols.
function cases.look()
  open('site/main.imgc')
  cursor('apt.install(server)')
  vim.api.nvim_win_set_cursor(0, { vim.fn.line('.'), vim.fn.col('.') + 3 })
  local hover = ask('textDocument/hover', vim.lsp.util.make_position_params())
  expect(vim.inspect(hover.contents):find('install', 1, true), 'hover tells the recipe: ' .. vim.inspect(hover))
  cursor('install(server)')
  vim.api.nvim_win_set_cursor(0, { vim.fn.line('.'), vim.fn.col('.') - 1 + #'install(' })
  local places = ask('textDocument/definition', vim.lsp.util.make_position_params())
  local place = vim.tbl_islist(places) and places[1] or places
  local range = place.targetSelectionRange or place.range
  local row = find('let server')
  expect(range.start.line == row, 'the definition of the name: ' .. vim.inspect(places))
  local params = vim.lsp.util.make_position_params()
  params.context = { includeDeclaration = true }
  expect(#ask('textDocument/references', params) == 2, 'both places of the name')
end

--- A lens above an output shows the plan, and in it the output.
function cases.lens()
  open('plain/main.imgc')
  local params = { textDocument = vim.lsp.util.make_text_document_params() }
  local lenses = ask('textDocument/codeLens', params)
  expect(lenses and #lenses > 0, 'lenses above items')
  local lens = lenses[#lenses]
  vim.lsp.commands[lens.command.command](lens.command)
  expect(vim.bo.buftype == 'nofile', 'a window with the plan')
  expect(text():find(lens.command.arguments[2], 1, true), 'the plan tells of ' .. lens.command.arguments[2])
  expect(text():find('to run', 1, true), 'the plan says what it would do')
end

--- Every example is understood: an outline, and nothing wrong.
function cases.examples()
  for _, path in ipairs(vim.split(vim.env.IMGC_MODULES, '\n')) do
    open(path)
    local symbols = ask('textDocument/documentSymbol', { textDocument = vim.lsp.util.make_text_document_params() })
    expect(#symbols > 0, path .. ' has an outline')
    -- What is wrong is told, and then forgotten: the answer is about this text.
    local last = vim.api.nvim_buf_line_count(0)
    vim.api.nvim_buf_set_lines(0, last, last, false, { 'let something_new = a_name_that_nothing_has' })
    diagnostics('an unknown name in ' .. path, told('a_name_that_nothing_has'))
    vim.api.nvim_buf_set_lines(0, last, last + 1, false, {})
    diagnostics('no errors in ' .. path, correct)
  end
end

require('imgc').setup({ cmd = { command, 'lsp' } })
local case = vim.env.IMGC_CASE
local done, problem = xpcall(cases[case], debug.traceback)
if not done then
  fail(tostring(problem))
end
io.stdout:write('done: ' .. case .. '\n')
-- The server ends with its client.
vim.lsp.stop_client(vim.lsp.get_active_clients())
vim.wait(PATIENCE, function()
  return #vim.lsp.get_active_clients() == 0
end, 20)
vim.cmd('qall!')
