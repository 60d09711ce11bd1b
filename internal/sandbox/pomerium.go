package sandbox

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"jitaccess/internal/sandbox/clock"
	"jitaccess/internal/sandbox/pomerium"
)

// Pomerium is the surroundings of one service that stands behind Pomerium and knows no
// Google Cloud. Make one with StartPomerium.
type Pomerium struct {
	zero       *pomerium.Zero
	clock      *clock.Clock
	api, front *listeningServer
	close      func() error
}

// StartPomerium brings the surroundings up until ctx ends or Close is called; Serve then adds
// the service. Options are as for Start, but that the address is localhost:8000 where it is
// empty, and GoogleAddress is where the API of Pomerium Zero answers.
func StartPomerium(ctx context.Context, o Options) (*Pomerium, error) {
	if err := refusePlatform(); err != nil {
		return nil, err
	}
	if o.Address == "" {
		o.Address = "localhost:8000"
	}
	o = withDefaults(o)
	p := &Pomerium{clock: clock.New(o.Now)}
	o.Now = p.clock.Now
	p.close = sync.OnceValue(p.closeAll)
	if err := p.start(o); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	context.AfterFunc(ctx, func() { p.Close() })
	return p, nil
}

func (p *Pomerium) start(o Options) (err error) {
	if p.zero, err = pomerium.New(pomerium.Options{Now: o.Now, Random: o.Random}); err != nil {
		return err
	}
	if p.api, err = listen(o.GoogleAddress); err != nil {
		return err
	}
	p.api.serve(p.zero.API())
	p.front, err = listen(o.Address)
	return err
}

// Clock is the time of everything in the sandbox. The service must go by it.
func (p *Pomerium) Clock() *clock.Clock { return p.clock }

// Zero is the sandbox's Pomerium Zero.
func (p *Pomerium) Zero() *pomerium.Zero { return p.zero }

// URL is the origin where people go, such as http://localhost:8000.
func (p *Pomerium) URL() string { return "http://" + net.JoinHostPort("localhost", p.front.port()) }

// Endpoint is where the API of Pomerium Zero answers.
func (p *Pomerium) Endpoint() string {
	return "http://" + net.JoinHostPort("127.0.0.1", p.api.port())
}

// Environment returns the environment variables of the service: those of Pomerium's JIT
// example, and no others.
func (p *Pomerium) Environment() map[string]string {
	return map[string]string{
		"API_USER_TOKEN":  p.zero.RefreshToken(),
		"CLUSTER_ID":      p.zero.Cluster(),
		"JWKS_ENDPOINT":   p.URL() + pomerium.KeysPath,
		"ORGANIZATION_ID": p.zero.Organization(),
		"PORT":            p.front.port(),
	}
}

// Serve answers at URL with the service behind the proxy, until Close. It returns nil after
// Close, and what went wrong otherwise.
func (p *Pomerium) Serve(service http.Handler) error {
	return <-p.front.serve(p.zero.Proxy(service, "localhost"))
}

// Close ends everything that StartPomerium began, and waits until it has ended. It may be
// called again.
func (p *Pomerium) Close() error { return p.close() }

func (p *Pomerium) closeAll() error {
	var errs []error
	for _, server := range []*listeningServer{p.front, p.api} {
		if server != nil {
			errs = append(errs, server.close())
		}
	}
	return errors.Join(errs...)
}
