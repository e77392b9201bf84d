/// <reference types="tree-sitter-cli/dsl" />
// The grammar of imgc for editors. What it means is told by `../imgc.pest`, which the compiler reads; a test parses
// every module of this repository with both and compares the items.
//
// Unlike its model it describes correct programs only: where one is broken, tree-sitter's own recovery goes on.

/** Things with a separator between; one may stand behind the last. */
const listed = (rule) => optional(seq(rule, repeat(seq(',', rule)), optional(',')));

/** Things that need no separator between; each may have a comma behind it. */
const lines = (rule) => repeat(seq(rule, optional(',')));

/** From weak to strong. */
const power = { lambda: 1, or: 2, and: 3, compare: 4, coalesce: 5, range: 6, add: 7, multiply: 8, unary: 9, postfix: 10 };

const binary = [
  [power.or, '||'],
  [power.and, '&&'],
  [power.compare, choice('==', '!=', '<', '<=', '>', '>=', 'in')],
  [power.coalesce, '??'],
  [power.range, '..='],
  [power.add, choice('+', '-')],
  [power.multiply, choice('*', '/', '%')],
];

export default grammar({
  name: 'imgc',

  word: ($) => $.identifier,
  extras: ($) => [/[ \t\r\n]/, $.comment],

  reserved: {
    global: () => ['let', 'if', 'then', 'else', 'for', 'in', 'match', 'use', 'where', 'none', 'true', 'false'],
  },


  rules: {
    source_file: ($) => repeat($.item),

    comment: () => token(seq('//', /[^\n]*/)),
    identifier: () => /[A-Za-z_][A-Za-z0-9_]*/,

    // --- items ---------------------------------------------------------------------------------------------------

    item: ($) =>
      seq(
        repeat(choice($.attribute, 'pub')),
        choice(
          $.edition, $.import, $.param, $.secret, $.let, $.output, $.function, $.record, $.enum, $.recipe, $.image,
          $.test, $.extern_step, $.extern_source, $.extern_artifact,
        ),
      ),
    attribute: ($) => prec.right(seq('@', field('name', $.identifier), optional($.call), optional(seq('reason', $.text)))),

    edition: ($) => seq('edition', $.number),
    import: ($) =>
      seq(
        'import',
        choice(seq($.import_names, 'from', field('from', choice($.text, $.path))), field('from', choice($.text, $.path))),
        optional($.call),
        optional(seq('as', field('name', $.identifier))),
      ),
    import_names: ($) => seq('{', listed($.identifier), '}'),
    param: ($) => seq('param', $._declared),
    secret: ($) =>
      seq(
        'secret', field('name', $.identifier), ':', field('type', $.type), 'from', field('value', $._expression),
        optional(seq('version', field('version', $._expression))),
      ),
    let: ($) => seq('let', field('name', $.identifier), optional(seq(':', field('type', $.type))), $._value),
    output: ($) => seq('output', field('name', $.identifier), optional(seq(':', field('type', $.type))), $._value),
    function: ($) => seq('fn', field('name', $.identifier), $.params, '->', field('type', $.type), $._value),
    record: ($) => seq('record', field('name', $.identifier), $.members),
    enum: ($) => seq('enum', field('name', $.identifier), $.variants),
    recipe: ($) => seq('recipe', field('name', $.identifier), $.params, optional($.on), $.block),
    image: ($) =>
      seq('image', field('name', $.identifier), optional($.for_head), optional(seq(':', field('type', $.type))), $.block),
    test: ($) => seq('test', field('name', $.identifier), 'of', field('of', $._expression), $.block),
    extern_step: ($) =>
      seq('extern', 'step', field('name', $.identifier), optional($.revision), optional($.on), $.members),
    extern_source: ($) =>
      seq(
        'extern', 'source', field('name', $.identifier), optional($.revision), $.params, '->', field('type', $.type),
        optional(seq('machine', field('machine', $.type))),
      ),
    extern_artifact: ($) =>
      seq('extern', 'artifact', field('name', $.identifier), optional($.revision), $.params, '->', field('type', $.type)),
    revision: ($) => seq('revision', $.number),
    on: ($) => seq('on', $._platform_pattern, repeat(seq('|', $._platform_pattern))),

    _value: ($) => seq('=', field('value', $._expression)),
    _declared: ($) =>
      seq(
        field('name', $.identifier), ':', field('type', $.type), optional(seq('=', field('default', $._expression))),
        optional(seq('where', field('where', $._expression))),
      ),
    member: ($) => $._declared,
    members: ($) => seq('{', lines($.member), '}'),
    params: ($) => seq('(', listed($.member), ')'),
    variant: ($) => seq(field('name', $.identifier), optional($.params)),
    variants: ($) => seq('{', lines($.variant), '}'),

    // --- bodies --------------------------------------------------------------------------------------------------

    block: ($) => seq('{', lines($._statement), '}'),
    _statement: ($) =>
      choice($.field, $.step, $.use, $.let, $.if_statement, $.for_statement, $.match_statement),
    field: ($) => seq(field('name', $.identifier), $._value),
    step: ($) => seq(field('kind', $.path), optional(field('label', $.text)), $.fields),
    fields: ($) => seq('{', lines($.field), '}'),
    use: ($) => seq('use', field('recipe', $.path), $.call),
    if_statement: ($) =>
      seq('if', field('condition', $._expression), $.block, optional(seq('else', choice($.if_statement, $.block)))),
    for_statement: ($) => seq($.for_head, $.block),
    for_head: ($) =>
      seq('for', field('name', $.identifier), optional(seq(',', field('name', $.identifier))), 'in', $._expression),
    match_statement: ($) => seq('match', field('subject', $._expression), '{', lines($.block_arm), '}'),
    block_arm: ($) => seq($.pattern, '=>', $.block),

    // --- expressions ---------------------------------------------------------------------------------------------

    _expression: ($) =>
      choice(
        $.text, $.number, $.platform, alias($.identifier, $.reference), $.list, $.brace, $.group, $.constant,
        $.if_expression, $.match_expression, $.unary, $.binary, $.member_access, $.call_expression, $.index,
      ),
    unary: ($) => prec(power.unary, seq(choice('!', '-'), $._expression)),
    binary: ($) =>
      choice(
        ...binary.map(([strength, operator]) =>
          prec.left(strength, seq($._expression, field('operator', operator), $._expression)),
        ),
      ),
    member_access: ($) => prec(power.postfix, seq(field('of', $._expression), '.', field('name', $.identifier))),
    call_expression: ($) => prec(power.postfix, seq(field('called', $._expression), $.call)),
    index: ($) => prec(power.postfix, seq(field('of', $._expression), '[', $._expression, ']')),
    group: ($) => seq('(', $._expression, ')'),

    call: ($) => seq('(', listed($.argument), ')'),
    argument: ($) => seq(optional(seq(field('name', $.identifier), ':')), choice($.lambda, $._expression)),
    lambda: ($) =>
      prec.right(
        power.lambda,
        seq(
          choice(field('name', $.identifier), seq('(', field('name', $.identifier), repeat(seq(',', field('name', $.identifier))), optional(','), ')')),
          '=>',
          $._expression,
        ),
      ),

    list: ($) => seq('[', choice($._list_for, listed(choice($.spread, $._expression))), ']'),
    _list_for: ($) => seq($._clauses, ':', $._expression),
    _clauses: ($) => seq(repeat1(alias($.for_head, $.clause)), optional(seq('if', field('condition', $._expression)))),
    spread: ($) => seq('...', $._expression),

    brace: ($) => seq('{', choice($._map_for, lines(choice($.spread, $.field, $.map_entry))), '}'),
    _map_for: ($) => seq($._clauses, ':', $._expression, '=>', $._expression),
    map_entry: ($) => seq(field('key', $._expression), '=>', field('value', $._expression)),

    if_expression: ($) =>
      prec.right(seq('if', field('condition', $._expression), 'then', $._expression, 'else', $._expression)),
    match_expression: ($) => seq('match', field('subject', $._expression), '{', listed($.arm), '}'),
    arm: ($) => seq($.pattern, '=>', $._expression),

    constant: () => choice('none', 'true', 'false'),
    // `42`, `0o644`, `4GiB`, `1h30m`.
    number: () => /[0-9][A-Za-z0-9_]*(\.[0-9][A-Za-z0-9_]*)?/,
    platform: () => /(linux|windows|macos|freebsd|\*)(\([A-Za-z_][A-Za-z0-9_]*\))?\/([A-Za-z_][A-Za-z0-9_]*|\*)/,

    // --- patterns and types --------------------------------------------------------------------------------------

    pattern: ($) => seq($._pattern_one, repeat(seq('|', $._pattern_one))),
    _pattern_one: ($) =>
      choice($._platform_pattern, $.rest, $.constant, $.variant_pattern, $.text, $.number, seq('-', $.number)),
    _platform_pattern: ($) => alias($._any_platform, $.platform),
    _any_platform: () => /([A-Za-z_][A-Za-z0-9_]*|\*)(\([A-Za-z_][A-Za-z0-9_]*\))?\/([A-Za-z_][A-Za-z0-9_]*|\*)/,
    rest: () => '_',
    variant_pattern: ($) => seq($.path, optional($.bindings)),
    bindings: ($) => seq('(', listed($.identifier), ')'),

    type: ($) => seq($._type_one, repeat(seq('|', $._type_one))),
    _type_one: ($) => seq($._type_atom, repeat('?')),
    _type_atom: ($) => choice($._platform_pattern, $.any_type, $.type_named, $.text, $.type_group),
    type_named: ($) => seq($.path, optional($.type_args)),
    type_args: ($) => seq('<', listed($.type), '>'),
    type_group: ($) => seq('(', $.type, ')'),
    any_type: () => '*',

    path: ($) => seq($.identifier, repeat(seq('.', $.identifier))),

    // --- texts ---------------------------------------------------------------------------------------------------

    // `content` spans all between the quotes, so that a script can be coloured as one; only escapes and holes are
    // nodes in it. Its tokens are immediate, and stronger than the comment that `"http://…"` would begin.
    text: ($) =>
      choice(
        seq('"', optional(alias($._line_content, $.content)), token.immediate(prec(2, '"'))),
        seq('"""', optional(alias($._block_content, $.content)), token.immediate(prec(2, '"""'))),
      ),
    _line_content: ($) => repeat1(choice($._line_chunk, $.escape, $.hole)),
    _line_chunk: () => token.immediate(prec(2, /[^"\\\n]+/)),
    escape: () => token.immediate(prec(2, /\\(n|t|"|\\|u\{[0-9a-fA-F]{1,6}\})/)),
    // One or two quotes are content; three end the text, because the longest token wins.
    _block_content: ($) => repeat1(choice($._block_chunk, $.hole)),
    _block_chunk: () => token.immediate(prec(2, /[^"\\]+|"|""|\\/)),
    hole: ($) => seq(token.immediate(prec(2, '\\{')), $._expression, '}'),
  },
});
