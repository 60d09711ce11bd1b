# The build, on the machine's own platform whatever the target is.
FROM --platform=$BUILDPLATFORM docker.io/library/golang:1.26 AS build
WORKDIR /source
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY docs/openapi.go docs/openapi.yaml docs/
COPY internal internal
COPY web web
ARG VERSION=dev TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -gcflags=all=-c=1 -ldflags "-s -w -X main.version=$VERSION" -o /jitaccess ./cmd/jitaccess
RUN mkdir /data

# Nothing but the program and whom to trust: no shell, no package manager, no root.
# The time zones are in the program.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /jitaccess /jitaccess
# Where the database is that is not named, without Google Cloud: mount a volume there.
COPY --from=build --chown=65532:65532 /data /data
WORKDIR /data
VOLUME /data
USER 65532:65532
EXPOSE 8080 8000
# Below the 256 MiB of the container as shipped (deploy/cloudrun.yaml): raise both together.
ENV GOMEMLIMIT=200MiB
ENTRYPOINT ["/jitaccess"]
