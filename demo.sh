#!/bin/bash
# The main job in a minute: two confined containers that reach neither each other nor the host. Run by `make demo`, as root.
set -euo pipefail
bulkhead=$(realpath "$1")
work=$(mktemp -d)
cleanup() {
	"$bulkhead" rm -f demo-a demo-b >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap cleanup EXIT

say() { printf '\n== %s\n' "$*"; }
failures=0
# refused DESCRIPTION COMMAND...: the command has to fail, and its last line says why.
refused() {
	local what=$1 output
	shift
	if output=$("$@" 2>&1); then
		printf '  NOT STOPPED  %s\n' "$what"
		failures=$((failures + 1))
	else
		printf '  stopped      %-58s %s\n' "$what" "$(printf '%s' "$output" | grep -v notice: | head -n 1)"
	fi
}
works() {
	local what=$1
	shift
	if "$@" >/dev/null 2>&1; then
		printf '  works        %s\n' "$what"
	else
		printf '  BROKEN       %s\n' "$what"
		failures=$((failures + 1))
	fi
}

say "a tiny image: busybox in an OCI layout"
busybox=$(command -v busybox)
mkdir -p "$work/root/bin" "$work/root/etc" "$work/root/tmp" "$work/image/blobs/sha256" "$work/a" "$work/b"
cp "$busybox" "$work/root/bin/busybox"
for applet in sh ls cat echo id sleep kill mount touch head grep; do ln -s busybox "$work/root/bin/$applet"; done
echo 'root:x:0:0:root:/:/bin/sh' >"$work/root/etc/passwd"
# blob FILE: moves the file to where its digest says, and prints digest and size.
blob() {
	local digest size
	digest=$(sha256sum "$1" | cut -d' ' -f1)
	size=$(stat -c %s "$1")
	mv "$1" "$work/image/blobs/sha256/$digest"
	echo "$digest $size"
}
tar --owner=0 --group=0 --sort=name --mtime=@0 -C "$work/root" -cf "$work/layer" .
read -r layer layer_size <<<"$(blob "$work/layer")"
arch=$(dpkg --print-architecture)
echo "{\"architecture\":\"$arch\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"/bin/sh\"],\"Env\":[\"PATH=/bin\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$layer\"]}}" >"$work/config"
read -r config config_size <<<"$(blob "$work/config")"
echo "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:$config\",\"size\":$config_size},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:$layer\",\"size\":$layer_size}]}" >"$work/manifest"
read -r manifest manifest_size <<<"$(blob "$work/manifest")"
echo "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:$manifest\",\"size\":$manifest_size,\"platform\":{\"architecture\":\"$arch\",\"os\":\"linux\"}}]}" >"$work/image/index.json"
echo '{"imageLayoutVersion":"1.0.0"}' >"$work/image/oci-layout"

say "what this kernel can enforce: bulkhead check"
"$bulkhead" check

say "two containers, each with a private volume; both even share the host's processes and network"
echo "a's secret" >"$work/a/file"
echo "b's secret" >"$work/b/file"
for name in a b; do
	"$bulkhead" run -d --name "demo-$name" --pid host --network host -v "$work/$name:/data:Z" "$work/image" sh -c 'while :; do sleep 1; done' 2>&1 | grep -v '^bulkhead: notice'
done
pid_of() { "$bulkhead" ps --json | tr -d ' \n' | grep -o "\"name\":\"$1\",\"engine\":\"bulkhead\",\"status\":\"running\",\"pid\":[0-9]*" | grep -o '[0-9]*$'; }
a=$(pid_of demo-a)
b=$(pid_of demo-b)

say "what container a can do to b and to the host"
inside() { "$bulkhead" exec demo-a "$@"; }
works "a reads its own volume" inside cat /data/file
works "a writes its own volume" inside touch /data/new
refused "a kills b's first process" inside kill -9 "$b"
refused "a reads b's environment" inside cat "/proc/$b/environ"
refused "a reads b's files through /proc" inside cat "/proc/$b/root/data/file"
refused "a reads the host's files through /proc" inside cat /proc/1/root/etc/shadow
refused "a kills a process of the host" inside kill -0 $$
refused "a mounts a file system" inside mount -t tmpfs none /tmp
refused "a replaces the program that confines it" inside sh -c 'rm -rf /.bulkhead/init && echo >/.bulkhead/init'
refused "a third container takes a's private volume" "$bulkhead" run --rm -v "$work/a:/x" "$work/image" cat /x/file
refused "a label that this kernel cannot hold" "$bulkhead" run --rm --security-opt apparmor=no-such-profile "$work/image" id

say "asked and observed, layer by layer: bulkhead ps -Z"
"$bulkhead" ps -Z
say "processes: a is $a, b is $b; the whole plan: bulkhead plan"
"$bulkhead" plan "$work/image"
echo
if [ "$failures" -gt 0 ]; then
	echo "demo: $failures of the lines above are not as they should be" >&2
	exit 1
fi
echo "demo: all as it should be"
