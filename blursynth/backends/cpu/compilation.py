"""How the kernels of this folder are compiled, and where the compiled code is kept.

A kernel calls a dozen smaller functions. numba gives each of them a wrapper for calls from Python and one for calls
from C, optimizes all three, makes machine code of them and keeps it in a file; and again for each number that is
written out where it is called. Functions that only other kernels call get none of this here: they are linked into those
that call them, and optimized there. That and what is remembered from one operation to the next saves half of the time.
It uses parts of numba which are not its interface, so it is done only with the versions that it was tested with; others
compile everything.

numba keeps compiled functions next to their source or in the user's cache, and refuses to compile if it can write to
neither (read-only installations, containers without a home). The kernels are then kept in a private folder among the
temporary files, or not at all, but they always work.
"""

from __future__ import annotations

import gc
import glob
import logging
import multiprocessing
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config
from numba.core import errors as numba_errors
from numba.core import sigutils, typed_passes, types, untyped_passes
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, DefaultPassBuilder
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.registry import CPUDispatcher
from numba.core.runtime.nrt import rtsys
from numba.core.targetconfig import ConfigStack

from blursynth.backends.compiling import compiling

__all__ = ["compiled", "kernel_folder"]

BY_PARTS = numba.__version__.startswith("0.68.")
"""Whether this version of numba was tested with :class:`_Part`."""

config: Any = numba_config  # its attributes are set at run time
errors: Any = numba_errors
_log = logging.getLogger(__name__)


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorate a kernel: compiled on its first call, without the interpreter's lock, divisions as numpy has them."""
    if function is None:
        return lambda function: compiled(function, **options)
    if config.DISABLE_JIT:
        return function
    options = {"nogil": True, "error_model": "numpy"} | options
    if BY_PARTS:
        options = {"nopython": True, "boundscheck": None} | options
        kernel: Any = _Kernel(function, targetoptions=options, pipeline_class=_CompilerOfParts)
    else:
        njit: Any = numba.njit
        kernel = njit(pipeline_class=_Compiler, **options)(function)
    kernel._cache = _cache_of(function)  # what its enable_caching() sets, with caches that tolerate errors
    return kernel


class _Kernel(CPUDispatcher):
    """A function, and its compiled forms: one for each combination of types that Python or another kernel gives it."""

    _cache: Any  # what numba's types do not mention
    _compiler: Any

    def compile(self, sig: Any) -> Any:
        """The compiled function for these types of arguments, for Python or for the kernel being compiled."""
        arguments, gives = sigutils.normalize_signature(sig)
        if ConfigStack.top_or_none() is None:  # a call from Python
            with global_compiler_lock:
                known: Any = self.overloads.get(tuple(arguments))
                if known is not None and isinstance(known.library, _Part):  # so far only kernels called it
                    del self.overloads[tuple(arguments)]
                return super().compile(sig)
        known = self.overloads.get(tuple(arguments))
        if known is None:
            with self._compiling_counter:
                known = self._compiler.compile(arguments, gives)
            self.add_overload(known)
        return known.entry_point

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """What a kernel that calls this one gets: one form for the numbers 0 and 1 written out as for any integer."""
        plain = {name: types.unliteral(kind) for name, kind in kws.items()}
        return super().get_call_template(tuple(map(types.unliteral, args)), plain)

    def add_overload(self, cres: Any) -> None:
        """Keep a compiled form; calls from Python find it only if they can enter it."""
        if isinstance(cres.library, _Part):
            self.overloads[tuple(cres.signature.args)] = cres
        else:
            super().add_overload(cres)


class _Compiler(Compiler):
    """numba's compiler, faster and with something to show meanwhile."""

    _inside = False  # whether a kernel is being compiled, and this one is called by it; numba compiles one at a time

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile a function, as numba asks for it."""
        if _Compiler._inside:
            return super().compile_extra(func)
        # Compiling makes millions of objects that live until it ends; searching them for garbage takes a sixth of it.
        collects = gc.isenabled()
        gc.disable()
        _Compiler._inside = True
        try:
            with compiling(func.__qualname__):
                return super().compile_extra(func)
        finally:
            _Compiler._inside = False
            if collects:
                gc.enable()


class _CompilerOfParts(_Compiler):
    """Without the wrappers that nobody calls, and with the answers of type inference remembered."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile a function, as numba asks for it."""
        if _Compiler._inside:
            return super().compile_extra(func)
        context, codegen = self.state.typingctx, self.state.targetctx.codegen()
        colors, errors._termcolor_inst = errors._termcolor_inst, _PLAIN
        context._resolve_user_function_type = _remembering(context._resolve_user_function_type)
        codegen._library_class = _Part  # for functions of numba that the kernel calls
        try:
            return super().compile_extra(func)
        finally:
            del codegen._library_class
            del context._resolve_user_function_type
            errors._termcolor_inst = colors

    def define_pipelines(self) -> list[Any]:
        """The passes over one function, which numba runs in this order."""
        state = self.state
        state.flags.no_cfunc_wrapper = True
        part = len(ConfigStack()) > 1  # a kernel that calls it is being compiled
        state.flags.no_cpython_wrapper = part
        state.library = (_Part if part else _Whole)(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        passes = PassManager("of a kernel")
        for kind, what in DefaultPassBuilder.define_nopython_pipeline(state).passes:
            if kind not in _NEEDLESS:
                passes.add_pass(kind, what)
        passes.finalize()
        return [passes]


# What these look for is in no kernel; a kernel that has it does not compile.
_NEEDLESS = (
    untyped_passes.WithLifting,
    untyped_passes.InlineClosureLikes,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.LiteralUnroll,
    untyped_passes.LiteralPropagationSubPipelinePass,
    typed_passes.InlineOverloads,
)


def _remembering(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """What a function of numbers gives, found once and not for each of the thousands of operations of a kernel."""
    known: dict[Any, Any] = {}
    numbers: Any = types.Number, types.Boolean, types.Literal

    def remembered(function: Any, arguments: Any, keywords: Any, literals: Any = None) -> Any:
        if keywords or type(function) is not types.Function or not all(isinstance(a, numbers) for a in arguments):
            return resolve(function, arguments, keywords, literals)
        key = id(function), tuple(arguments)
        if key not in known:
            known[key] = function, resolve(function, arguments, keywords, literals)  # kept, or another takes its id
        return known[key][1]

    return remembered


class _Plain:
    """Messages as they are: numba tries all meanings of an operation, and colors what each says."""

    def code(self, msg: str) -> str:
        """The message itself."""
        return msg

    errmsg = filename = indicate = highlight = reset = code


_PLAIN = _Plain()


class _Whole(JITCodeLibrary):
    """The code of a kernel, optimized once, as a whole."""

    def _optimize_functions(self, ll_module: Any) -> None:
        """Nothing but what all functions of a module share."""
        ll_module.data_layout = self._codegen._data_layout


class _Part(_Whole):
    """Code that is linked into the kernels that call it: optimized and made machine code there, not by itself."""

    def _optimize_final_module(self) -> None:
        """Nothing."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """No address: there is no machine code."""
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> _Part:
        """What sets the environment of machine code: not needed here."""
        return self

    def set_env(self, env_name: str, env: Any) -> None:
        """Nothing: the code that this is linked into has its own."""


def _cache_of(function: Callable[..., Any]) -> FunctionCache | NullCache:
    folder = _folder()
    if folder is None:
        return _NoCache()
    before = config.CACHE_DIR
    config.CACHE_DIR = folder or before  # for our kernels only: other functions stay where they were
    try:
        return _Cache(function)
    except RuntimeError:  # no locator: the folder has become read-only in the meantime
        return _NoCache()
    finally:
        config.CACHE_DIR = before


def kernel_folder() -> str | None:
    """Where the compiled kernels of this folder are kept; None if there is no place for them."""
    kept = _cache_of(kernel_folder)
    return None if isinstance(kept, NullCache) else str(kept.cache_path)


@cache
def _folder() -> str | None:
    """The folder of compiled kernels: empty if numba finds one itself, None if there is none."""
    if not config.CACHE_DIR and not _writable(Path(__file__).parent / "__pycache__"):
        # Without a home and an entry among the users "~" remains "~", a folder of this name in the current one.
        if not os.path.isabs(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~")):
            return _private_folder()
        try:
            FunctionCache(_folder.__wrapped__)
        except RuntimeError:
            return _private_folder()
    return ""


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _private_folder() -> str | None:
    """A folder among the temporary files that no other user can write to; None if there is none.

    numba unpickles the files of its cache, so whoever can write there, or replace the folder by one of their own, can
    run code as this user.
    """
    if not hasattr(os, "geteuid"):
        return None
    user = os.geteuid()
    try:
        around = Path(tempfile.gettempdir()).resolve()
        folder = around / f"blursynth-{user}"
        for parent in (around, *around.parents):
            state = parent.stat()
            others_write = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not state.st_mode & stat.S_ISVTX
            if others_write or state.st_uid not in (0, user):
                return None
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        state = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(state.st_mode) and state.st_uid == user and not state.st_mode & 0o077
    return str(folder) if private and _writable(folder) else None


class _CacheFile(IndexDataCacheFile):
    """Files of machine code that are named after the types that they are for.

    numba numbers them. Two processes that compile one kernel for two combinations of types at a time may choose the
    same number, and then one runs the machine code of the other with arguments of other types: it reads memory that is
    not there. With names of their own, all that such a race can lose is an entry of the index, and the kernel is
    compiled again.
    """

    def save(self, key: Any, data: Any) -> None:
        """Keep machine code, and only then name it in the index."""
        base = self._index_name.removesuffix(".nbi")
        name = f"{base}.{sha256(repr((self._source_stamp, key)).encode()).hexdigest()[:20]}.nbc"
        self._save_data(name, data)
        index = self._load_index()
        if not index:  # there was none, or one of another version of the source, whose machine code nobody needs
            for left in Path(self._cache_path).glob(f"{glob.escape(base)}.*.nbc"):
                if left.name != name:
                    left.unlink(missing_ok=True)
        self._save_index({**index, key: name})


class _Cache(FunctionCache):
    """A cache whose files may be missing, truncated or not writable: then the kernel is compiled again."""

    _cache_file: Any
    _impl: Any

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        known: Any = self._cache_file
        self._cache_file = _CacheFile(self.cache_path, self._impl.filename_base, known._source_stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            if BY_PARTS:
                # What numba knows about functions, half a second of tables, is of use only when it compiles.
                rtsys.initialize(target_context)
                found = self._load_overload(sig, target_context)
            else:
                found = super().load_overload(sig, target_context)
            if found is not None and tuple(found.signature.args) != tuple(sig):
                raise ValueError(f"machine code for {found.signature.args} instead of {sig}")
            return found
        except Exception as error:  # whatever unpickling a damaged file raises
            _log.info("%s: cannot be used (%s: %s)", self.cache_path, type(error).__name__, error)
            with suppress(OSError):
                self.flush()  # or the kernel could not be saved with the damaged index either
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        if _folder():
            _say(f"They are kept in {_folder()}, which may not last.")
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self.disable()
            _say(f"{self.cache_path} cannot be written ({error.strerror or error}).")


class _NoCache(NullCache):
    """No cache, and a warning about it on first compiling."""

    def save_overload(self, sig: Any, data: Any) -> None:
        _say("Each process compiles them again, which takes 10 to 20 seconds for each kind of blur.")


def _say(what: str) -> None:
    if multiprocessing.parent_process() is None:  # workers need not repeat it
        _say_once(what)


@cache
def _say_once(what: str) -> None:
    _log.warning(
        "There is no good place to keep compiled kernels. %s Set NUMBA_CACHE_DIR to a folder that only you may write "
        "to and that lasts (in a container: a volume).",
        what,
    )
