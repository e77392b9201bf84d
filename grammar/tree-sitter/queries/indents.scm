[
  (block)
  (fields)
  (members)
  (variants)
  (params)
  (call)
  (list)
  (brace)
  (group)
  (import_names)
  (match_statement)
  (match_expression)
] @indent.begin

["}" ")" "]"] @indent.branch @indent.end

; What stands in a text keeps the indentation it has.
(text) @indent.auto
