#!/bin/sh
# Checks pipeline-gpu on this machine: sh run.sh, or without a GPU sh run.sh --cpu.
#
# Needs x86-64 Linux with glibc 2.36 or later, and xz or Python. For the GPU (H100, H200): NVIDIA's driver, and
# the libraries of CUDA 13 and cuDNN 9, as the system or a Python has them.
#
# GPU_CHECK_PLACE is where 320 MB are unpacked, and kept for the next run; by default a folder that is removed at
# the end.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
(cd "$here" && sha256sum --check --quiet SHA256SUMS)

if [ -n "${GPU_CHECK_PLACE:-}" ]; then
    place=$GPU_CHECK_PLACE
    mkdir -p "$place"
else
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    trap 'exit 130' INT TERM
fi

unpack() {
    if command -v xz >/dev/null; then
        xz --decompress --stdout "$1" >"$2"
    else
        python3 -c 'import lzma, shutil, sys
with lzma.open(sys.argv[1]) as packed, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(packed, file)' "$1" "$2"
    fi
}

# The providers have to lie beside the library.
if ! cmp -s "$here/SHA256SUMS" "$place/SHA256SUMS"; then
    for name in libonnxruntime.so libonnxruntime_providers_cuda.so; do
        unpack "$here/$name.xz" "$place/$name"
    done
    cp "$here/libonnxruntime_providers_shared.so" "$here/gpu_check" "$place/"
    chmod +x "$place/gpu_check"
    cp "$here/SHA256SUMS" "$place/"
fi

folders=$(find / \( -path /proc -o -path /sys \) -prune -o \( \
    -name libcudart.so.13 -o -name libcublasLt.so.13 -o -name libcublas.so.13 -o -name libcudnn.so.9 \
    -o -name libcurand.so.10 -o -name libcufft.so.12 -o -name libnvrtc.so.13 \) -print 2>/dev/null |
    sed 's|/[^/]*$||' | sort -u | paste -s -d : -)
echo "CUDA's libraries: ${folders:-none}"

LD_LIBRARY_PATH=$place${folders:+:$folders}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
ORT_DYLIB_PATH=$place/libonnxruntime.so
ORT_DISABLE_TELEMETRY=1
# Kernels are loaded when they are called: some of those that no model here calls were left out.
CUDA_MODULE_LOADING=LAZY
export LD_LIBRARY_PATH ORT_DYLIB_PATH ORT_DISABLE_TELEMETRY CUDA_MODULE_LOADING
"$place/gpu_check" --models "$here/models" "$@"
