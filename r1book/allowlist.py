"""Which programs may run at all? Running them, under limits, is the business of `sandbox`.

A program is text; here it becomes the code object of one function, or is refused in plain words.
The syntax tree may hold assignments, branches, loops, arithmetic, subscripts, lists,
comprehensions, and calls of a few built-ins (or of the function itself) by plain name. There is no
attribute, no import and no other function, so nothing leads from a number or a list to the
interpreter behind it.

What may stay must also not grow without bound: `9**9**9` is one step of the interpreter, which no
signal handler can interrupt. So `+ * ** << %` become calls of guards that bound the size of the
result first.

Only the standard library is used and nothing is called: parsing hostile text can crash an
interpreter, so this runs in the workers of the sandbox.
"""

import ast
import operator
import types
from collections.abc import Callable

CALLABLE = (
    *(abs, all, any, bool, enumerate, int, len, list, max),
    *(min, range, reversed, sorted, sum, zip),
)
"""The built-ins that a program may call."""

BUILTINS = {function.__name__: function for function in CALLABLE}

PLAIN = (bool, int, float, str, type(None))
"""With lists of them, all the types that arguments, constants and returned values can have."""

_KEYWORDS = ("default", "key", "reverse", "start", "strict")
_NODES = (
    *(ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign),
    *(ast.For, ast.While, ast.If, ast.Expr, ast.Pass, ast.Break, ast.Continue),
    *(ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Call, ast.keyword),
    *(ast.Constant, ast.Name, ast.Subscript, ast.Slice, ast.List, ast.Tuple),
    *(ast.ListComp, ast.GeneratorExp, ast.comprehension),
    *(ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop),
)
_WORDS = {
    "AnnAssign": "an annotation",
    "AsyncFunctionDef": "async",
    "ClassDef": "class",
    "FormattedValue": "an f-string",
    "ImportFrom": "import",
    "JoinedStr": "an f-string",
    "NamedExpr": "the operator :=",
    "Starred": "a starred expression",
}
_SIZED = (str, list, tuple, range)
_GUARDED = {
    "Add": operator.add,
    "LShift": operator.lshift,
    "Mod": operator.mod,
    "Mult": operator.mul,
    "Pow": operator.pow,
}


class Refused(Exception):
    """The program is outside the allow-list; the message says why."""


class OverLimit(Exception):
    """An operation would have built something too large; the message says what."""


def _refusal(node: ast.AST, entry: str) -> str | None:
    """Say why this node, children aside, is outside the allow-list, or None."""
    kind = type(node).__name__
    if isinstance(node, ast.Attribute):
        return f"attribute access is not allowed: {node.attr[:40]}"
    if not isinstance(node, _NODES):
        return f"{_WORDS.get(kind, kind.lower())} is not allowed"
    for name in (getattr(node, field, None) for field in ("id", "arg", "name")):
        if isinstance(name, str) and name.startswith("__"):
            return f"a name that begins with two underscores is not allowed: {name[:40]}"
    match node:
        case ast.Call(func=ast.Name(id=name)) if name not in BUILTINS and name != entry:
            return f"calling this function is not allowed: {name[:40]}"
        case ast.Call(func=function) if not isinstance(function, ast.Name):
            return "only a function called by its plain name is allowed"
        case ast.keyword(arg=name) if name not in _KEYWORDS:
            return f"this keyword argument is not allowed: {'**' if name is None else name[:40]}"
        case ast.Constant(value=value) if type(value) not in PLAIN:
            return f"a constant of type {type(value).__name__} is not allowed"
        case ast.Expr(value=value) if not (
            isinstance(value, ast.Constant) and isinstance(value.value, str)
        ):
            return "an expression whose value is dropped is not allowed"
        case ast.arguments() if node.defaults or node.kw_defaults or node.vararg or node.kwarg:
            return "only plain parameters without default values are allowed"
        case ast.arg(annotation=note) | ast.FunctionDef(returns=note) if note is not None:
            return "an annotation is not allowed"
        case ast.FunctionDef(decorator_list=[_, *_]):
            return "a decorator is not allowed"
        case ast.comprehension(is_async=1):
            return "async is not allowed"
        case ast.AugAssign(target=ast.Subscript(slice=ast.Slice())):
            return "augmented assignment to a slice is not allowed"
    return None


class _Guard(ast.NodeTransformer):
    """Rewrite the growing operators into calls, by names no program can spell ("<Mult>")."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        kind = type(node.op).__name__
        if kind not in _GUARDED:
            return node
        return ast.Call(ast.Name(f"<{kind}>", ast.Load()), [node.left, node.right], [])

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | list[ast.AST]:
        self.generic_visit(node)
        kind = type(node.op).__name__
        if kind not in _GUARDED:
            return node
        first: list[ast.AST] = []
        if isinstance(node.target, ast.Subscript):
            # Container and index must be evaluated once: `xs[sum(pairs)] += 1` consumes `pairs`.
            for name, part in (("<at>", node.target.value), ("<index>", node.target.slice)):
                first.append(ast.Assign([ast.Name(name, ast.Store())], part))
            place = ast.Name("<at>", ast.Load()), ast.Name("<index>", ast.Load())
            target, now = ast.Subscript(*place, ast.Store()), ast.Subscript(*place, ast.Load())
        else:
            target, now = node.target, ast.Name(node.target.id, ast.Load())
        # The operator itself stays: `xs += ys` changes a list in place, `xs = xs + ys` does not.
        checked = ast.Call(ast.Name(f"<{kind}=>", ast.Load()), [now, node.value], [])
        return [*first, ast.AugAssign(target, node.op, checked)]


def compile_program(program: str, entry: str, *, nodes: int, depth: int) -> types.CodeType:
    """Turn a program into the code object of its one function.

    Args: program, its text; entry, the name that the function must have; nodes and depth, the most
    that the syntax tree may have. Raises `Refused` for every text that is not such a program.

    >>> compile_program("def f(x): return x + 1", "f", nodes=50, depth=10).co_varnames
    ('x',)

    Taught in notebook 09.
    """
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        said = getattr(error, "msg", None) or "nested too deeply"
        raise Refused(f"not a Python program: {said}"[:200]) from None
    todo, seen = [(tree, 0)], 0
    while todo:
        node, level = todo.pop()
        seen += 1
        if seen > nodes:
            raise Refused(f"the program has more than {nodes} syntax nodes")
        if level > depth:
            raise Refused(f"the program is nested more than {depth} levels deep")
        if reason := _refusal(node, entry):
            raise Refused(reason)
        if level > 1 and isinstance(node, ast.FunctionDef):
            raise Refused("a function inside a function is not allowed")
        todo += [(child, level + 1) for child in reversed(list(ast.iter_child_nodes(node)))]
    if [getattr(statement, "name", None) for statement in tree.body] != [entry]:
        raise Refused(f"the program must be exactly one function, def {entry}(...)")
    try:
        guarded = ast.fix_missing_locations(_Guard().visit(tree))
        module = compile(guarded, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        said = getattr(error, "msg", None) or "nested too deeply"
        raise Refused(f"not a Python program: {said}"[:200]) from None
    return next(value for value in module.co_consts if isinstance(value, types.CodeType))


def _growth(kind: str, left: object, right: object) -> tuple[int, int]:
    """Return an upper bound of (bits, elements) of `left kind right`; 0 where it cannot grow."""
    if isinstance(left, int) and isinstance(right, int):
        if kind == "Mult":
            return left.bit_length() + right.bit_length(), 0
        if kind == "LShift":
            return left.bit_length() + right, 0
        if kind == "Pow" and abs(left) > 1:
            return left.bit_length() * right, 0
    elif kind == "Add" and isinstance(left, _SIZED) and isinstance(right, _SIZED):
        return 0, len(left) + len(right)
    elif kind == "Mult" and isinstance(left, _SIZED) and isinstance(right, int):
        return 0, len(left) * right
    elif kind == "Mult" and isinstance(left, int) and isinstance(right, _SIZED):
        return 0, left * len(right)
    return 0, 0


def guards(integer_bits: int, sequence_items: int) -> dict[str, Callable]:
    """Return the functions that a compiled program calls for its growing operators.

    Args: integer_bits and sequence_items, the largest result. "<Mult>" and its like compute;
    "<Mult=>" checks only and returns its right side. They raise `OverLimit`. Taught in notebook 09.
    """

    def pair(kind: str) -> tuple[Callable, Callable]:
        compute = _GUARDED[kind]

        def check(left, right):
            if kind == "Mod" and isinstance(left, str):
                raise OverLimit("formatting text with % is not allowed")
            bits, items = _growth(kind, left, right)
            if bits > integer_bits:
                raise OverLimit(f"an integer of more than {integer_bits} bits is not allowed")
            if items > sequence_items:
                raise OverLimit(f"more than {sequence_items} elements are not allowed")
            return right

        return (lambda left, right: compute(left, check(left, right))), check

    return {f"<{k}{end}>": g for k in _GUARDED for end, g in zip(("", "="), pair(k), strict=True)}
