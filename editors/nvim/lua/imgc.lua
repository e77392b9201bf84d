--- imgc in Neovim (0.7 or later): the file type, the server by the built-in client, colours by tree-sitter.
local imgc = {}

--- The folder of the nearest `main.imgc` above a file, else the file's own.
local function root(file)
  local own = vim.fn.fnamemodify(file, ':p:h')
  local found = vim.fn.findfile('main.imgc', vim.fn.fnameescape(own) .. ';')
  return found ~= '' and vim.fn.fnamemodify(found, ':p:h') or own
end

local clients = {}

--- Attaches a buffer to the server of its package, and starts that where none runs.
function imgc.start(buffer, options)
  local folder = root(vim.api.nvim_buf_get_name(buffer))
  local config = vim.tbl_extend('force', { name = 'imgc', cmd = { 'imgc', 'lsp' }, root_dir = folder }, options or {})
  if vim.lsp.start then
    return vim.lsp.start(config, { bufnr = buffer })
  end
  -- Neovim 0.7 keeps no list of its own.
  local client = clients[folder]
  if not client or vim.lsp.client_is_stopped(client) then
    client = vim.lsp.start_client(config)
    clients[folder] = client
  end
  if client then
    vim.lsp.buf_attach_client(buffer, client)
  end
  return client
end

--- Shows what `imgc plan` says of the package of a file in a window of its own; `item` is an output, or nothing for all.
function imgc.plan(file, item, command)
  local arguments = { (command or { 'imgc' })[1], 'plan', '--color', 'never' }
  local said = vim.fn.systemlist(
    'cd ' .. vim.fn.shellescape(root(file)) .. ' && ' .. table.concat(vim.tbl_map(vim.fn.shellescape, arguments), ' ')
  )
  vim.cmd('botright new')
  vim.bo.buftype, vim.bo.bufhidden, vim.bo.swapfile = 'nofile', 'wipe', false
  vim.api.nvim_buf_set_lines(0, 0, -1, false, said)
  vim.bo.modifiable = false
  vim.fn.search('\\V\\<' .. (item or '') .. '\\>', 'c')
end

--- `options` are those of the client: `cmd`, `on_attach`, `capabilities`.
function imgc.setup(options)
  -- Lenses carry this command with a module and an item of it.
  vim.lsp.commands['imgc.plan'] = function(command)
    local module, item = unpack(command.arguments)
    imgc.plan(vim.uri_to_fname(module), item, (options or {}).cmd)
  end
  local group = vim.api.nvim_create_augroup('imgc', { clear = true })
  -- `vim.filetype.add` says nothing in Neovim 0.7 unless it is asked for by a variable.
  vim.api.nvim_create_autocmd({ 'BufRead', 'BufNewFile' }, {
    pattern = '*.imgc',
    group = group,
    callback = function(event)
      vim.bo[event.buf].filetype = 'imgc'
    end,
  })
  vim.api.nvim_create_autocmd('FileType', {
    pattern = 'imgc',
    group = group,
    callback = function(event)
      vim.bo[event.buf].commentstring = '// %s'
      vim.bo[event.buf].shiftwidth, vim.bo[event.buf].expandtab = 2, true
      imgc.start(event.buf, options)
      -- Colours, where `imgc.build` has made the parser; older ones cannot read it.
      if vim.fn.has('nvim-0.11') == 1 then
        pcall(vim.treesitter.start, event.buf, 'imgc')
      end
    end,
  })
end

--- Compiles the tree-sitter parser with `cc` into Neovim's data folder, and puts its queries there. Once is enough.
function imgc.build()
  local here = vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p:h:h:h:h')
  local grammar = here .. '/grammar/tree-sitter'
  local site = vim.fn.stdpath('data') .. '/site'
  vim.fn.mkdir(site .. '/parser', 'p')
  vim.fn.mkdir(site .. '/queries/imgc', 'p')
  local said = vim.fn.system({
    'cc', '-shared', '-fPIC', '-O2', '-I', grammar .. '/src', grammar .. '/src/parser.c', '-o', site .. '/parser/imgc.so',
  })
  if vim.v.shell_error ~= 0 then
    error('imgc: the parser was not compiled: ' .. said)
  end
  for _, name in ipairs({ 'highlights', 'folds', 'indents', 'injections' }) do
    local lines = vim.fn.readfile(grammar .. '/queries/' .. name .. '.scm')
    vim.fn.writefile(lines, site .. '/queries/imgc/' .. name .. '.scm')
  end
end

return imgc
