package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/sandbox/clock"
	"jitaccess/internal/sandbox/diff"
	"jitaccess/internal/sandbox/pomerium"
)

// Pomerium is the surroundings of one service that stands behind Pomerium and knows no
// Google Cloud. Make one with StartPomerium.
type Pomerium struct {
	zero       *pomerium.Zero
	clock      *clock.Clock
	log        *slog.Logger
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
	p := &Pomerium{clock: clock.New(o.Now), log: o.Log}
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
	return <-p.front.serve(p.around(p.zero.Proxy(service, "localhost")))
}

// around puts the sandbox's own pages, under /sandbox/, before the proxy. They ask nobody who
// they are.
func (p *Pomerium) around(proxy http.Handler) http.Handler {
	own := http.NewServeMux()
	own.HandleFunc("GET /sandbox/{$}", p.showChanges)
	own.HandleFunc("POST /sandbox/clock", p.moveClock)
	own.HandleFunc("GET /sandbox/assets/{name}", serveAsset)
	guarded := http.NewCrossOriginProtection().Handler(own)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isLoopback(r.RemoteAddr) && isLoopback(r.Host) && strings.HasPrefix(r.URL.Path, "/sandbox/") {
			guarded.ServeHTTP(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// showChanges shows what changed in Pomerium's policies, and the clock.
func (p *Pomerium) showChanges(w http.ResponseWriter, r *http.Request) {
	page := struct {
		frame
		Hour       hour
		DemoPolicy string
		PPL        string
		Whole      bool
		Changes    []shownChange
	}{frame: frame{Title: "What changed in Pomerium’s policies"}, Hour: hourOf(p.clock), DemoPolicy: pomerium.DemoPolicy,
		PPL: pretty(p.zero.PPL(pomerium.DemoPolicy)), Whole: r.URL.Query().Get("whole") != ""}
	page.Hour.Return = "/sandbox/"
	if end, found := nextEnd(page.PPL, page.Hour.Now); found {
		page.Hour.End, page.Hour.Where = end, pomerium.DemoPolicy
	}
	for _, c := range p.zero.Changes() {
		if len(page.Changes) == changesShown {
			break
		}
		lines := diff.Lines(linesIn(c.Before), linesIn(c.After))
		shown := shownChange{ID: c.ID, At: c.At, Resource: c.Policy}
		shown.Added, shown.Removed = diff.Count(lines)
		shown.Lines = diff.Short(lines, linesAround, linesShown)
		page.Changes = append(page.Changes, shown)
	}
	render(w, p.log, "pomerium.html", page)
}

// moveClock moves the clock of the sandbox.
func (p *Pomerium) moveClock(w http.ResponseWriter, r *http.Request) {
	if !fromHere(w, r) {
		return
	}
	move(w, r, p.clock, func(now time.Time) (time.Time, bool) { return nextEnd(p.zero.PPL(pomerium.DemoPolicy), now) })
}

// bounds are the times until which a policy lets somebody in.
var bounds = regexp.MustCompile(`"before":\s*"([^"]+)"`)

// nextEnd is the first time after now at which a policy lets somebody in no longer.
func nextEnd(ppl string, now time.Time) (end time.Time, found bool) {
	for _, match := range bounds.FindAllStringSubmatch(ppl, -1) {
		at, err := time.Parse(time.RFC3339, match[1])
		if err == nil && at.After(now) && (!found || at.Before(end)) {
			end, found = at, true
		}
	}
	return end, found
}

// pretty is JSON with a line for each member, and what is none as it is.
func pretty(text string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(text), "", "  ") != nil {
		return text
	}
	return b.String()
}

func linesIn(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(pretty(text), "\n")
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
