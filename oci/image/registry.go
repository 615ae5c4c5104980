// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// registry is one repository of a registry, spoken to with one login.
type registry struct {
	repository name.Repository
	puller     *remote.Puller
}

// openRegistry asks the reference's registry for the image.
func openRegistry(ctx context.Context, reference name.Reference, platform v1.Platform, keychain authn.Keychain) (*Image, error) {
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	puller, err := remote.NewPuller(remote.WithAuthFromKeychain(keychain), remote.WithTransport(guard{remote.DefaultTransport}))
	if err != nil {
		return nil, err
	}
	from := registry{reference.Context(), puller}
	top, err := puller.Get(ctx, reference)
	if err != nil {
		return nil, from.explain(err)
	}
	return resolve(ctx, from, top.Descriptor, platform, 0)
}

func (r registry) manifest(ctx context.Context, wanted v1.Descriptor) ([]byte, error) {
	got, err := r.puller.Get(ctx, r.repository.Digest(wanted.Digest.String()))
	if err != nil {
		return nil, r.explain(err)
	}
	return got.Manifest, nil
}

func (r registry) blob(ctx context.Context, wanted v1.Descriptor) (io.ReadCloser, error) {
	found, err := r.puller.Layer(ctx, r.repository.Digest(wanted.Digest.String()))
	if err != nil {
		return nil, r.explain(err)
	}
	reader, err := found.Compressed()
	if err != nil {
		return nil, r.explain(err)
	}
	return reader, nil
}

// explain says in one line which of a registry's refusals this is.
func (r registry) explain(err error) error {
	host := r.repository.RegistryStr()
	var answer *transport.Error
	var refused plainHTTP
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("registry %s: %w", host, refused)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("registry %s: %w", host, err)
	case !errors.As(err, &answer):
		return fmt.Errorf("registry %s: unreachable: %w", host, line{err})
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("registry %s: not authorised: no such repository, or it needs a login: %w", host, line{err})
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("registry %s: not found: %w", host, line{err})
	case answer.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("registry %s: too many requests: %w", host, line{err})
	}
	return fmt.Errorf("registry %s: answered %d: %w", host, answer.StatusCode, line{err})
}

// guard refuses plain http to anything but a loopback address, also after a redirect or for a token server: the library
// below would use it for every private address too.
type guard struct{ http.RoundTripper }

func (g guard) RoundTrip(request *http.Request) (*http.Response, error) {
	if host := request.URL.Hostname(); request.URL.Scheme != "https" && !loopback(host) {
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, plainHTTP{host}
	}
	return g.RoundTripper.RoundTrip(request)
}

// plainHTTP is guard's refusal.
type plainHTTP struct{ host string }

func (p plainHTTP) Error() string {
	return fmt.Sprintf("plain http is for loopback registries only, not for %s", line{errors.New(p.host)})
}

func loopback(host string) bool {
	address := net.ParseIP(host)
	return host == "localhost" || address != nil && address.IsLoopback()
}
