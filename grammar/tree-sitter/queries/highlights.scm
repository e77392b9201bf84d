; Later patterns win where several fit.

(comment) @comment
((comment) @comment.documentation (#match? @comment.documentation "^///([^/]|$)"))

(identifier) @variable
(reference) @variable

; --- what names are ---------------------------------------------------------------------------------------------------

(param name: (identifier) @variable.parameter)
(params (member name: (identifier) @variable.parameter))
(members (member name: (identifier) @property))
(lambda name: (identifier) @variable.parameter)
(secret name: (identifier) @constant)
(let name: (identifier) @variable)
(output name: (identifier) @variable)
(function name: (identifier) @function)
(recipe name: (identifier) @function)
(extern_step name: (identifier) @function.macro)
(extern_source name: (identifier) @function)
(extern_artifact name: (identifier) @function)
(record name: (identifier) @type)
(enum name: (identifier) @type)
(image name: (identifier) @type)
(test name: (identifier) @type)
(variant name: (identifier) @constant)
(attribute "@" @attribute name: (identifier) @attribute)

(field name: (identifier) @property)
(argument name: (identifier) @variable.parameter)
(member_access name: (identifier) @property)
(call_expression called: (reference) @function)
(call_expression called: (member_access name: (identifier) @function))
((member_access of: (reference) @module)
  (#any-of? @module "apk" "apt" "aws" "disk" "dnf" "docker" "net" "oci" "qemu" "rootfs" "ssh" "systemd"))

(step kind: (path (identifier) @module))
(step kind: (path (identifier) @function.macro .))
(use recipe: (path (identifier) @module))
(use recipe: (path (identifier) @function .))
(import from: (path (identifier) @module))
(import name: (identifier) @module)
(type_named (path (identifier) @type))
(variant_pattern (path (identifier) @constant .))
(any_type) @type

; --- literals ---------------------------------------------------------------------------------------------------------

(text) @string
(escape) @string.escape
(hole "\\{" @punctuation.special "}" @punctuation.special)
(step label: (text) @label)
(number) @number
(constant) @constant.builtin
(platform) @constant
(rest) @variable.builtin
((reference) @variable.builtin (#eq? @variable.builtin "platform"))

; --- words and signs --------------------------------------------------------------------------------------------------

["param" "image" "output" "recipe" "record" "secret" "test" "fn" "enum" "let" "edition" "extern" "step" "source" "artifact"
 "revision" "machine" "version" "reason" "of" "on" "as" "where"] @keyword
["import" "from" "use"] @keyword.import
"pub" @keyword.modifier
["if" "then" "else" "match"] @keyword.conditional
["for" "in"] @keyword.repeat

["=" "=>" "->" "|" "||" "&&" "==" "!=" "<=" ">=" "??" "..=" "..." "+" "-" "*" "/" "%" "!" "?"] @operator
(binary operator: ["<" ">"] @operator)
(binary operator: "in" @keyword.operator)
["{" "}" "(" ")" "[" "]"] @punctuation.bracket
(type_args ["<" ">"] @punctuation.bracket)
["," "." ":"] @punctuation.delimiter
