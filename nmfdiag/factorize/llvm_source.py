"""Write the inner loops of HALS in LLVM's language; :mod:`nmfdiag.factorize.llvm_compile` describes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BLOCK = 4
ALIVE = 1e-12
"""Share of the largest squared partner below which a component is dead."""


class Writer:
    """Writes the functions; ``vectors`` registers of ``lanes`` numbers make the width of a panel."""

    def __init__(self, scalar: str, register_bits: int, vectors: int):
        from llvmlite import ir

        self.ir = ir
        self.real, self.bytes = (ir.FloatType(), 4) if scalar == "float" else (ir.DoubleType(), 8)
        self.lanes = register_bits // (8 * self.bytes)
        self.vectors, self.panel = vectors, vectors * self.lanes
        self.whole, self.half, self.pointer = ir.IntType(64), ir.IntType(32), self.real.as_pointer()
        self.vector = ir.VectorType(self.real, self.lanes)
        self.zero = self.vector([self.real(0.0)] * self.lanes)
        self.module = ir.Module("hals")
        self.register_bits = register_bits
        self.code: Any = None

    def text(self) -> str:
        """Return the module's code."""
        sweep, gram, inner = self.sweep(), self.gram(), self.inner()
        self.for_all("sweep_all", sweep, "XsXsXn", 3)
        self.for_all("gram_all", gram, "XsXn", 2)
        self.inner_all(inner)
        # llvmlite's functions take no key = value attributes; without these LLVM would use half registers.
        wide = f'"prefer-vector-width"="{self.register_bits}" "min-legal-vector-width"="{self.register_bits}"'
        lines = str(self.module).splitlines()
        return "\n".join(line + f" nounwind {wide}" if line.startswith("define") else line for line in lines)

    # --- the sweep ---------------------------------------------------------------------------------------------------

    def sweep(self) -> Any:
        """Write ``sweep(X, ldx, B, ldb, G, k, columns, sweeps, room)``."""
        whole, n = self.whole, self.panel
        X, ldx, B, ldb, G, k, columns, sweeps, room = self.begin("sweep", "XsXsXnnnX")
        code = self.code
        blocks = code.mul(code.sdiv(k, whole(BLOCK)), whole(BLOCK))
        inverse, held_x = room, code.gep(room, [k])
        held_b = code.gep(held_x, [code.mul(k, whole(n))])
        self.invert_diagonal(G, inverse, k)
        with self.loop(whole(0), columns, whole(n)) as (first, _):
            width = code.sub(columns, first)
            for outside, stride, panel_buffer in ((X, ldx, held_x), (B, ldb, held_b)):
                with self.loop(whole(0), k) as (j, _):
                    self.move(
                        outside,
                        code.add(code.mul(j, stride), first),
                        panel_buffer,
                        code.mul(j, whole(n)),
                        width,
                        into=True,
                    )
            with self.loop(whole(0), sweeps):
                with self.loop(whole(0), blocks, whole(BLOCK)) as (j, _):
                    self.update(j, BLOCK, held_x, held_b, G, inverse, k)
                with self.loop(blocks, k) as (j, _):
                    self.update(j, 1, held_x, held_b, G, inverse, k)
            for outside, stride in ((X, ldx), (B, ldb)):
                with self.loop(whole(0), k) as (j, _):
                    self.move(
                        outside, code.add(code.mul(j, stride), first), held_x, code.mul(j, whole(n)), width, into=False
                    )
        return self.end()

    def invert_diagonal(self, G: Any, inverse: Any, k: Any) -> None:
        """Write ``1 / G_jj``; 0 for a dead component, which the sweep then leaves unchanged."""
        code = self.code

        def diagonal(j: Any) -> Any:
            return code.load(code.gep(G, [code.add(code.mul(j, k), j)]))

        largest = [self.real(0.0)]
        with self.loop(self.whole(0), k, carried=largest) as (j, inside):
            inside[0] = code.select(code.fcmp_ordered(">", diagonal(j), inside[0]), diagonal(j), inside[0])
        floor = code.fmul(largest[0], self.real(ALIVE))
        with self.loop(self.whole(0), k) as (j, _):
            alive = code.fcmp_ordered(">", diagonal(j), floor)
            inverted = code.fdiv(self.real(1.0), code.select(alive, diagonal(j), self.real(1.0)))
            code.store(code.select(alive, inverted, self.real(0.0)), code.gep(inverse, [j]))

    def update(self, j: Any, size: int, held_x: Any, held_b: Any, G: Any, inverse: Any, k: Any) -> None:
        """Update ``size`` components of a panel, beginning with the j-th."""
        code, n = self.code, self.vectors
        rows = [code.add(j, self.whole(a)) for a in range(size)]
        sums = [self.read(held_b, self.buffer_index(row, v)) for row in rows for v in range(n)]
        with self.loop(self.whole(0), k, carried=sums) as (i, inside):
            x = [self.read(held_x, self.buffer_index(i, v)) for v in range(n)]
            for a, row in enumerate(rows):
                g = self.spread(code.load(code.gep(G, [code.add(code.mul(row, k), i)])))
                for v in range(n):
                    inside[a * n + v] = self.minus_product(inside[a * n + v], g, x[v])
        for a, row in enumerate(rows):
            step = self.spread(code.load(code.gep(inverse, [row])))
            later = [
                self.spread(code.load(code.gep(G, [code.add(code.mul(below, k), row)]))) for below in rows[a + 1 :]
            ]
            for v in range(n):
                old = self.read(held_x, self.buffer_index(row, v))
                moved = self.plus_product(old, sums[a * n + v], step)
                new = code.select(code.fcmp_ordered(">", moved, self.zero), moved, self.zero)
                self.write(new, held_x, self.buffer_index(row, v))
                change = code.fsub(new, old)
                for b, g in enumerate(later, start=a + 1):
                    sums[b * n + v] = self.minus_product(sums[b * n + v], g, change)

    def buffer_index(self, row: Any, v: int) -> Any:
        return self.code.add(self.code.mul(row, self.whole(self.panel)), self.whole(v * self.lanes))

    def move(self, outside: Any, place: Any, panel_buffer: Any, buffer_place: Any, width: Any, *, into: bool) -> None:
        """Copy one row between memory and the panel's buffer; a partial panel is filled with zeros."""
        code = self.code
        with code.if_else(code.icmp_signed(">=", width, self.whole(self.panel))) as (full, part):
            for masked, branch in ((False, full), (True, part)):
                with branch:
                    for v in range(self.vectors):
                        shift = self.whole(v * self.lanes)
                        far, near = code.add(place, shift), code.add(buffer_place, shift)
                        mask = self.first_lanes(code.sub(width, shift)) if masked else None
                        if into:
                            self.write(self.read(outside, far, mask), panel_buffer, near)
                        else:
                            self.write(self.read(panel_buffer, near), outside, far, mask)

    # --- Gram matrices and inner products ----------------------------------------------------------------------------

    def gram(self) -> Any:
        """Write ``gram(X, ldx, S, k, columns, add)``: blocks on and below the diagonal, each also mirrored."""
        whole = self.whole
        X, ldx, S, k, columns, add = self.begin("gram", "XsXnnn")
        code = self.code
        blocks = code.mul(code.sdiv(k, whole(BLOCK)), whole(BLOCK))
        arguments = (X, ldx, S, k, columns, add)
        with (
            self.loop(whole(0), blocks, whole(BLOCK)) as (i, _),
            self.loop(whole(0), code.add(i, whole(1)), whole(BLOCK)) as (j, _),
        ):
            self.products(i, BLOCK, j, BLOCK, *arguments)
        with self.loop(blocks, k) as (i, _):
            with self.loop(whole(0), blocks, whole(BLOCK)) as (j, _):
                self.products(i, 1, j, BLOCK, *arguments)
            with self.loop(blocks, code.add(i, whole(1))) as (j, _):
                self.products(i, 1, j, 1, *arguments)
        return self.end()

    def products(
        self, i: Any, high: int, j: Any, wide: int, X: Any, ldx: Any, S: Any, k: Any, columns: Any, add: Any
    ) -> None:
        """Write inner products of rows ``i ...`` with rows ``j ...``."""
        code = self.code
        left = [code.add(i, self.whole(a)) for a in range(high)]
        right = [code.add(j, self.whole(b)) for b in range(wide)]
        sums = [self.zero] * (high * wide)

        def gather(column: Any, totals: list[Any], mask: Any = None) -> None:
            x, y = (
                [self.read(X, code.add(code.mul(row, ldx), column), mask) for row in rows] for rows in (left, right)
            )
            for place in range(high * wide):
                totals[place] = self.plus_product(totals[place], x[place // wide], y[place % wide])

        whole_vectors = code.mul(code.sdiv(columns, self.whole(self.lanes)), self.whole(self.lanes))
        with self.loop(self.whole(0), whole_vectors, self.whole(self.lanes), carried=sums) as (column, inside):
            gather(column, inside)
        gather(whole_vectors, sums, self.first_lanes(code.sub(columns, whole_vectors)))
        is_added = code.icmp_signed("!=", add, self.whole(0))
        pairs = [(a, b) for a in left for b in right]
        # Loaded first, because a block may be its own mirror.
        old_values = [code.load(code.gep(S, [code.add(code.mul(a, k), b)])) for a, b in pairs]
        for (a, b), total, old in zip(pairs, sums, old_values, strict=True):
            value = code.fadd(self.sum_of_lanes(total), code.select(is_added, old, self.real(0.0)))
            code.store(value, code.gep(S, [code.add(code.mul(a, k), b)]))
            code.store(value, code.gep(S, [code.add(code.mul(b, k), a)]))

    def inner(self) -> Any:
        """Write ``inner(X, Y, length) -> double``: products in X's precision, sums in float64."""
        ir, code_whole = self.ir, self.whole
        double = ir.DoubleType()
        wide = ir.VectorType(double, self.lanes)
        X, Y, length = self.begin("inner", "XXn", double)
        code = self.code

        def widened(product: Any) -> Any:
            return product if self.bytes == 8 else code.fpext(product, wide)

        whole_vectors = code.mul(code.sdiv(length, code_whole(self.lanes)), code_whole(self.lanes))
        sums = [wide([double(0.0)] * self.lanes)]
        with self.loop(code_whole(0), whole_vectors, code_whole(self.lanes), carried=sums) as (place, inside):
            inside[0] = code.fadd(inside[0], widened(code.fmul(self.read(X, place), self.read(Y, place))))
        mask = self.first_lanes(code.sub(length, whole_vectors))
        last = code.fmul(self.read(X, whole_vectors, mask), self.read(Y, whole_vectors, mask))
        return self.end(self.sum_of_lanes(code.fadd(sums[0], widened(last))))

    # --- tables ------------------------------------------------------------------------------------------------------

    def for_all(self, name: str, function: Any, row: str, n_common: int) -> None:
        """Write ``name(table, problems, common arguments ...)``, which calls a function with each row of a table and the common arguments."""
        table, problems, *common = self.begin(name, "nn" + "n" * n_common)
        code = self.code
        with self.loop(self.whole(0), problems) as (p, _):
            arguments = [*self.row(table, p, row), *common]
            kinds = [argument.type for argument in function.args]
            cast = [code.inttoptr(a, t) if t != a.type else a for a, t in zip(arguments, kinds, strict=True)]
            code.call(function, cast)
        self.end()

    def inner_all(self, inner: Any) -> None:
        table, problems, result = self.begin("inner_all", "nnn")
        code = self.code
        out = code.inttoptr(result, self.ir.DoubleType().as_pointer())
        with self.loop(self.whole(0), problems) as (p, _):
            x, y, length = self.row(table, p, "XXn")
            value = code.call(inner, [code.inttoptr(x, self.pointer), code.inttoptr(y, self.pointer), length])
            code.store(value, code.gep(out, [p]))
        self.end()

    def row(self, table: Any, p: Any, kinds: str) -> list[Any]:
        code = self.code
        numbers = code.inttoptr(table, self.whole.as_pointer())
        start = code.mul(p, self.whole(len(kinds)))
        return [code.load(code.gep(numbers, [code.add(start, self.whole(i))])) for i in range(len(kinds))]

    # --- building blocks -------------------------------------------------------------------------------------------------------

    def begin(self, name: str, kinds: str, returns: Any = None) -> Any:
        """Start a function; X is an address of numbers, s a stride and n an integer."""
        types = [self.pointer if kind == "X" else self.whole for kind in kinds]
        function = self.ir.Function(self.module, self.ir.FunctionType(returns or self.ir.VoidType(), types), name)
        self.code = self.ir.IRBuilder(function.append_basic_block())
        return function.args

    def end(self, value: Any = None) -> Any:
        if value is None:
            self.code.ret_void()
        else:
            self.code.ret(value)
        return self.code.function

    @contextmanager
    def loop(
        self, start: Any, stop: Any, step: Any = None, carried: list[Any] | None = None
    ) -> Iterator[tuple[Any, list[Any]]]:
        """``for i in range(start, stop, step)``; the body replaces the carried values in its list."""
        code, carried = self.code, carried if carried is not None else []
        before, head = code.block, code.append_basic_block()
        body, after = code.append_basic_block(), code.append_basic_block()
        code.branch(head)
        code.position_at_end(head)
        i, phis = code.phi(self.whole), [code.phi(value.type) for value in carried]
        code.cbranch(code.icmp_signed("<", i, stop), body, after)
        code.position_at_end(body)
        inside = list(phis)
        yield i, inside
        following = code.add(i, step or self.whole(1))
        for phi, first, value in zip([i, *phis], [start, *carried], [following, *inside], strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(value, code.block)
        code.branch(head)
        code.position_at_end(after)
        carried[:] = phis

    def vector_at(self, base: Any, place: Any) -> Any:
        return self.code.bitcast(self.code.gep(base, [place]), self.vector.as_pointer())

    def read(self, base: Any, place: Any, mask: Any = None) -> Any:
        address = self.vector_at(base, place)
        if mask is None:
            return self.code.load(address, align=self.bytes)
        return self.intrinsic("masked.load", self.vector, [address, self.half(self.bytes), mask, self.zero])

    def write(self, value: Any, base: Any, place: Any, mask: Any = None) -> None:
        address = self.vector_at(base, place)
        if mask is None:
            self.code.store(value, address, align=self.bytes)
        else:
            self.intrinsic("masked.store", self.ir.VoidType(), [value, address, self.half(self.bytes), mask])

    def first_lanes(self, count: Any) -> Any:
        """Return the mask of the first ``count`` lanes."""
        several = self.ir.VectorType(self.whole, self.lanes)
        return self.code.icmp_signed("<", several([self.whole(i) for i in range(self.lanes)]), self.spread(count))

    def spread(self, value: Any) -> Any:
        """Return a vector with a number in every lane."""
        several = self.ir.VectorType(value.type, self.lanes)
        first = self.code.insert_element(several(self.ir.Undefined), value, self.half(0))
        lanes = self.ir.VectorType(self.half, self.lanes)([self.half(0)] * self.lanes)
        return self.code.shuffle_vector(first, several(self.ir.Undefined), lanes)

    def minus_product(self, total: Any, a: Any, b: Any) -> Any:
        return self.code.fsub(total, self.code.fmul(a, b, flags=["contract"]), flags=["contract"])

    def plus_product(self, total: Any, a: Any, b: Any) -> Any:
        return self.code.fadd(total, self.code.fmul(a, b, flags=["contract"]), flags=["contract"])

    def sum_of_lanes(self, value: Any) -> Any:
        element = value.type.element
        return self.intrinsic("vector.reduce.fadd", element, [element(0.0), value], fastmath=("reassoc",))

    def intrinsic(self, name: str, result: Any, arguments: list[Any], fastmath: tuple[str, ...] = ()) -> Any:
        vector = next(
            a.type for a in arguments if isinstance(a.type, self.ir.VectorType) and a.type.element != self.ir.IntType(1)
        )
        letters = f"v{vector.count}f{64 if vector.element == self.ir.DoubleType() else 32}"
        full = f"llvm.{name}.{letters}" + (".p0" if name.startswith("masked") else "")
        if full not in self.module.globals:
            self.ir.Function(self.module, self.ir.FunctionType(result, [a.type for a in arguments]), full)
        return self.code.call(self.module.globals[full], arguments, fastmath=fastmath)
