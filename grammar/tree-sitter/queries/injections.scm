; `script = "…"` of a step is in the language that the step runs. Holes are no part of it.

((step
  kind: (path (identifier) @_kind .)
  (fields (field name: (identifier) @_field value: (text (content) @injection.content))))
  (#eq? @_kind "sh")
  (#eq? @_field "script")
  (#set! injection.language "bash"))

((step
  kind: (path (identifier) @_kind .)
  (fields (field name: (identifier) @_field value: (text (content) @injection.content))))
  (#eq? @_kind "powershell")
  (#eq? @_field "script")
  (#set! injection.language "powershell"))

; A value of the type `Script<…>` says its language itself.
((let
  type: (type (type_named (path (identifier) @_type) (type_args (type (type_named (path (identifier) @_language))))))
  value: (text (content) @injection.content))
  (#eq? @_type "Script")
  (#eq? @_language "sh")
  (#set! injection.language "bash"))

((let
  type: (type (type_named (path (identifier) @_type) (type_args (type (type_named (path (identifier) @_language))))))
  value: (text (content) @injection.content))
  (#eq? @_type "Script")
  (#eq? @_language "powershell")
  (#set! injection.language "powershell"))
