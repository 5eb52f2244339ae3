"""moec in this process: its C interface through ctypes. Tensors are PyTorch's, whose memory moec borrows.

A Call holds everything that one run needs, so that running it again costs one call of C and the release of its results.
"""
import ctypes

import torch

DTYPES = {torch.float64: 0, torch.float32: 1, torch.bfloat16: 2, torch.int64: 3, torch.int32: 4}
NUMPY = {0: ctypes.c_double, 1: ctypes.c_float}


class MoecError(RuntimeError):
    pass


class Library:
    """libmoec_runtime.so at `path`."""

    def __init__(self, path):
        self.c = ctypes.CDLL(str(path))
        self.c.moec_last_error.restype = ctypes.c_char_p
        self.c.moec_version.restype = ctypes.c_char_p
        self.c.moec_tensor_data.restype = ctypes.c_void_p
        self.c.moec_tensor_shape.restype = ctypes.POINTER(ctypes.c_int64)
        self.c.moec_tensor_rank.restype = ctypes.c_size_t
        for kind in ("session_output", "training_result"):
            getattr(self.c, f"moec_{kind}_count").restype = ctypes.c_size_t
            getattr(self.c, f"moec_{kind}_name").restype = ctypes.c_char_p
        for release in ("tensor", "session", "training", "program"):
            getattr(self.c, f"moec_{release}_free").argtypes = [ctypes.c_void_p]

    def check(self, status):
        if status != 0:
            raise MoecError(self.c.moec_last_error().decode())

    def program(self, path):
        handle = ctypes.c_void_p()
        self.check(self.c.moec_program_load(str(path).encode(), ctypes.byref(handle)))
        return handle

    def borrow(self, tensor):
        assert tensor.is_contiguous() and tensor.device.type == "cpu"
        handle, shape = ctypes.c_void_p(), (ctypes.c_int64 * tensor.dim())(*tensor.shape)
        self.check(self.c.moec_tensor_borrow(ctypes.c_void_p(tensor.data_ptr()), DTYPES[tensor.dtype], shape, ctypes.c_size_t(tensor.dim()), ctypes.byref(handle)))
        return handle

    def copy(self, handle):
        """A result, f32 or f64, as a tensor of PyTorch's own."""
        rank, shape = self.c.moec_tensor_rank(handle), self.c.moec_tensor_shape(handle)
        sizes = [shape[i] for i in range(rank)]
        count, element = 1, NUMPY[self.c.moec_tensor_dtype(handle)]
        for size in sizes:
            count *= size
        data = (element * count).from_address(self.c.moec_tensor_data(handle))
        dtype = torch.float64 if element is ctypes.c_double else torch.float32
        return torch.frombuffer(data, dtype=dtype).clone().reshape(sizes)


class Call:
    """One run of a session, or one step of a training, with fixed inputs {name: tensor}."""

    def __init__(self, library, program, weights, inputs, threads, training=False, rate=0.0):
        self.library, self.inputs, self.threads = library, inputs, threads
        c, kind = library.c, "training" if training else "session"
        self.handle = ctypes.c_void_p()
        self.program = library.program(program)
        library.check(getattr(c, f"moec_{kind}_create")(self.program, b"cpu", threads, ctypes.byref(self.handle)))
        library.check(getattr(c, f"moec_{kind}_load")(self.handle, str(weights).encode()))
        self.result_kind = "training_result" if training else "session_output"
        results = getattr(c, f"moec_{self.result_kind}_count")(self.handle)
        self.names = [getattr(c, f"moec_{self.result_kind}_name")(self.handle, ctypes.c_size_t(i)).decode() for i in range(results)]
        self.given = [library.borrow(tensor) for tensor in inputs.values()]
        self.results = (ctypes.c_void_p * results)()
        names = (ctypes.c_char_p * len(inputs))(*[name.encode() for name in inputs])
        tensors = (ctypes.c_void_p * len(inputs))(*[handle.value for handle in self.given])
        count = ctypes.c_size_t(len(inputs))
        seed = ctypes.c_uint64(0)
        if training:
            self.function, self.arguments = c.moec_training_step, (self.handle, names, tensors, count, ctypes.c_double(rate), seed, self.results)
        else:
            self.function, self.arguments = c.moec_session_run, (self.handle, names, tensors, count, seed, ctypes.c_uint32(0), self.results)

    def __call__(self):
        if self.function(*self.arguments) != 0:
            raise MoecError(self.library.c.moec_last_error().decode())
        for result in self.results:
            self.library.c.moec_tensor_free(result)

    def values(self):
        """{name: tensor} of one more run."""
        self.library.check(self.function(*self.arguments))
        found = {name: self.library.copy(ctypes.c_void_p(result)) for name, result in zip(self.names, self.results)}
        for result in self.results:
            self.library.c.moec_tensor_free(result)
        return found

    def free(self):
        for handle in self.given:
            self.library.c.moec_tensor_free(handle)
        getattr(self.library.c, "moec_training_free" if self.result_kind == "training_result" else "moec_session_free")(self.handle)
        self.library.c.moec_program_free(self.program)
