// Package gcp connects to Google Cloud: who the service is there, with which
// credentials it calls, where to, and what a failed call means. Its subpackages
// hold one API each.
package gcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"jitaccess/internal/gcp/quota"
	"jitaccess/internal/loopback"
	"jitaccess/internal/outbound"
)

// Scopes of the two clients. Google's "cloud-platform" does not cover the
// Directory API, which belongs to Workspace.
const (
	scopeCloud     = "https://www.googleapis.com/auth/cloud-platform"
	scopeDirectory = "https://www.googleapis.com/auth/admin.directory.group.readonly"
)

// Options say how to connect. The zero value connects to the real Google without
// time limits.
type Options struct {
	// Version goes into the User-Agent, as JIT-Access/VERSION.
	Version string
	// Hosted is set on App Engine and Cloud Run. Only the metadata server is asked
	// there; elsewhere application default credentials are tried when there is none.
	Hosted bool
	// Endpoint replaces every Google host when not empty. It must be loopback. With
	// GCE_METADATA_HOST set the tokens of that metadata server are sent to it;
	// otherwise no credentials leave the process.
	Endpoint string
	// ConnectTimeout, ReadTimeout and WriteTimeout bound a connection attempt, the
	// wait for the answer's head, and each write; a whole call may take their sum.
	// 0 is no limit.
	ConnectTimeout, ReadTimeout, WriteTimeout time.Duration
	// Retry is how reads are repeated.
	Retry Retry
	// Quotas are those of Google's that differ from what it documents.
	Quotas quota.Limits
	// Now is the clock by which quotas are spent; nil is the real one.
	Now func() time.Time
}

// Platform is the connection to Google Cloud. It is safe for concurrent use.
type Platform struct {
	// Project is the id of the service's own project, ServiceAccount the e-mail address
	// of its own account.
	Project, ServiceAccount string
	// ProjectNumber and Region are empty where nobody could say: with application
	// default credentials, and Region also on an odd metadata server.
	ProjectNumber, Region string
	// Client is authenticated for Google Cloud, DirectoryClient for the groups of
	// Workspace and Cloud Identity.
	Client, DirectoryClient *http.Client
	// Retry is how reads are repeated.
	Retry Retry

	// endpoint is where every call goes; empty is each service's own.
	endpoint string
	// public makes calls without credentials.
	public *http.Client
	// circuits keep all clients together to the quotas.
	circuits *quota.Circuits
	now      func() time.Time
	// skew is that of Skew, in nanoseconds; nil where nothing is called.
	skew *atomic.Int64
}

// Connect finds out who the service is and prepares its clients. It makes no call
// to Google itself: only the metadata server must answer, since without knowing
// who it is the service can verify nobody. Errors are *access.Error, of the
// Unavailable kind when the metadata server is to blame.
func Connect(ctx context.Context, o Options) (*Platform, error) {
	p := &Platform{Retry: o.Retry}
	if err := p.connect(ctx, o); err != nil {
		return nil, metadataFailure("finding out who the service is", err)
	}
	return p, nil
}

func (p *Platform) connect(ctx context.Context, o Options) (err error) {
	if p.endpoint, err = checkEndpoint(o.Endpoint); err != nil {
		return err
	}
	var cloud, directory oauth2.TokenSource
	server, named := metadata.NewWithOptions(nil), os.Getenv("GCE_METADATA_HOST") != ""
	switch {
	case o.Hosted || named || os.Getenv("GOOGLE_APPLICATION_CREDENTIALS") == "" && server.OnGCEWithContext(ctx):
		err = p.identify(ctx, server)
		within := metadataTimeout
		if o.ReadTimeout > 0 {
			within = min(within, o.ReadTimeout)
		}
		cloud, directory = metadataTokens(server, scopeCloud, within), metadataTokens(server, scopeDirectory, within)
	case p.endpoint != "":
		err = errors.New("an endpoint that replaces Google needs GCE_METADATA_HOST, to say who the service is")
	default:
		cloud, directory, err = p.defaultCredentials(ctx)
	}
	if err != nil {
		return err
	}
	if p.endpoint != "" && !named {
		cloud, directory = nil, nil
	}
	if p.now = o.Now; p.now == nil {
		p.now = time.Now
	}
	random := o.Retry.Random
	if random == nil {
		random = rand.Float64
	}
	p.skew = new(atomic.Int64)
	p.circuits = quota.New(o.Quotas, p.now, random)
	p.public = o.client()
	p.Client = p.calling(p.authorized(cloud))
	groups := p.authorized(directory)
	if directory != nil {
		groups = &scoped{plain: groups, impersonating: p.authorized(p.impersonate(scopeDirectory))}
	}
	p.DirectoryClient = p.calling(groups)
	return nil
}

// authorized sends the tokens of a source; of none, nothing.
func (p *Platform) authorized(source oauth2.TokenSource) http.RoundTripper {
	if source == nil {
		return p.public.Transport
	}
	return &authorized{base: p.public.Transport, tokens: &tokens{fetch: source, now: p.now}, answered: p.hear}
}

// calling is a client that keeps to the quotas.
func (p *Platform) calling(t http.RoundTripper) *http.Client {
	c := *p.public
	c.Transport = &guarded{base: t, circuits: p.circuits, now: p.now}
	return &c
}

// defaultCredentials takes the identity from application default credentials,
// which must be those of a service account: a person cannot sign tokens.
func (p *Platform) defaultCredentials(ctx context.Context) (cloud, directory oauth2.TokenSource, err error) {
	// The sources outlive the start.
	credentials, err := google.FindDefaultCredentials(context.WithoutCancel(ctx), scopeCloud)
	if err != nil {
		return nil, nil, err
	}
	if p.ServiceAccount, err = accountOf(credentials.JSON); err != nil {
		return nil, nil, err
	}
	p.Project = cmp.Or(os.Getenv("GOOGLE_CLOUD_PROJECT"), credentials.ProjectID)
	if err := p.check(); err != nil {
		return nil, nil, err
	}
	return defaultTokens(ctx, scopeCloud), defaultTokens(ctx, scopeDirectory), nil
}

// defaultTokens fetches tokens of one scope with application default credentials. Those
// are found anew each time: what Google's library returns for them keeps the token until
// it ends, also when Google does not take it any more.
func defaultTokens(ctx context.Context, scope string) oauth2.TokenSource {
	ctx = context.WithoutCancel(ctx)
	return tokenSource(func() (*oauth2.Token, error) {
		credentials, err := google.FindDefaultCredentials(ctx, scope)
		if err != nil {
			return nil, err
		}
		return credentials.TokenSource.Token()
	})
}

// Endpoint is the base URL of a Google service, without a slash at the end.
// service is the first label of its host ("cloudasset"), or a whole host name.
func (p *Platform) Endpoint(service string) string {
	if p.endpoint != "" {
		return p.endpoint
	}
	if strings.Contains(service, ".") {
		return "https://" + service
	}
	return "https://" + service + ".googleapis.com"
}

// Impersonating is a client whose token has one scope that those of the other
// clients lack. The token is fetched when it is first needed.
func (p *Platform) Impersonating(scope string) *http.Client {
	return p.calling(p.authorized(p.impersonate(scope)))
}

// checkEndpoint refuses every override that is not loopback: tokens go there.
func checkEndpoint(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.Trim(u.Path, "/") != "" {
		return "", errors.New("the endpoint that replaces Google is not of the form http://127.0.0.1:PORT")
	}
	if !loopback.Is(u.Hostname()) {
		return "", fmt.Errorf("the endpoint that replaces Google must be a loopback address, and %q is not", u.Hostname())
	}
	return u.Scheme + "://" + u.Host, nil
}

// transport is what all clients share: one pool of connections.
func (o Options) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: o.ConnectTimeout, KeepAlive: 30 * time.Second}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, address)
		if err != nil || o.WriteTimeout == 0 {
			return c, err
		}
		return &writeLimited{c, o.WriteTimeout}, nil
	}
	t.TLSHandshakeTimeout = o.ConnectTimeout
	t.ResponseHeaderTimeout = o.ReadTimeout
	// A burst of activations makes as many calls to one host.
	t.MaxIdleConnsPerHost = 32
	return t
}

// writeLimited bounds every write, so that a peer that stops reading cannot hold a
// call.
type writeLimited struct {
	net.Conn
	timeout time.Duration
}

func (c *writeLimited) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// client is one without credentials. Redirects are not followed: Google sends none, and a
// token would be put on whatever they name.
func (o Options) client() *http.Client {
	t := &named{base: o.transport(), userAgent: "JIT-Access/" + o.Version}
	c := outbound.Client(outbound.Google, t)
	if o.ConnectTimeout != 0 && o.ReadTimeout != 0 && o.WriteTimeout != 0 {
		c.Timeout = o.ConnectTimeout + o.ReadTimeout + o.WriteTimeout
	}
	return c
}

// named says in every call who makes it.
type named struct {
	base      http.RoundTripper
	userAgent string
}

func (n *named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", n.userAgent)
	return n.base.RoundTrip(r)
}
