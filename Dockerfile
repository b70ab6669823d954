# A small image without a shell: the program, the libraries that it is linked to, and the certificate authorities. It runs
# as user 10001. docs/operations.md, "In a container", explains how to run it.

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked -p cosell

# The content of the image. ldd lists the libraries with their paths, on any processor.
WORKDIR /image
RUN install -D -m 755 /build/target/release/cosell usr/local/bin/cosell \
 && ldd usr/local/bin/cosell | grep -o '/[^ ]*' | xargs cp --parents --dereference -t . \
 && install -D -m 644 /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ca-certificates.crt \
 && install -D -m 644 -t usr/share/doc/cosell /build/LICENSE /build/NOTICE \
 && install -d -m 1777 tmp \
 && install -d -m 755 etc/cosell \
 && install -d -m 700 -o 10001 -g 10001 var/lib/cosell

FROM scratch
COPY --from=build /image /
USER 10001:10001
WORKDIR /var/lib/cosell
VOLUME /var/lib/cosell
# Listen on all addresses of the container. Only published ports can be reached from outside.
ENV COSELL_LISTENER_ADDRESS=0.0.0.0:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
# Checks the address above, without TLS. docs/operations.md explains what to do with TLS.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["/usr/local/bin/cosell", "health"]
ENTRYPOINT ["/usr/local/bin/cosell"]
CMD ["serve", "--config", "/etc/cosell/cosell.toml"]
