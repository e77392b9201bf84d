#!/bin/sh
# Applies examples/web with a key of its own and says how to start what came out.
set -eu
imgc=$1
out=out/demo
mkdir -p "$out"
[ -f "$out/key" ] || ssh-keygen -q -t ed25519 -N '' -C imgc-demo -f "$out/key"
"$imgc" apply ./examples/web --out-dir "$out" --set "admin_key=$(cat "$out/key.pub")"
cat <<TEXT

Start the container, with docker or podman:
  docker run --rm -p 8080:80 "\$(docker load -qi $out/container.tar | sed 's/.*: //')" nginx -g 'daemon off;'
  podman run --rm -p 8080:80 "\$(podman load -qi $out/container.tar | sed 's/.*: //')" nginx -g 'daemon off;'

Boot the disk; nothing is written to it (package qemu-system-x86, and ovmf for the firmware):
  qemu-system-x86_64 -machine q35 -m 1024 -bios /usr/share/ovmf/OVMF.fd -snapshot -nographic \\
    -drive file=$out/vm.qcow2,if=virtio -nic user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=tcp:127.0.0.1:2222-:22

Then: curl http://127.0.0.1:8080/    and    ssh -i $out/key -p 2222 root@127.0.0.1
TEXT
