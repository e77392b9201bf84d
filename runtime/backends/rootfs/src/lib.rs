//! The rootfs backend: overlayfs layers, steps in namespaces, as root or as an ordinary user.
