package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"jitaccess/internal/jose"
	"jitaccess/internal/loopback"
	"jitaccess/internal/outbound"
)

// maxDocument is the longest key set, key or description of a provider that is read, in bytes.
const maxDocument = 256 << 10

var client = outbound.Client("identity", nil)

// FetchKeys fetches the key set at an address.
func FetchKeys(address string) jose.Fetch {
	return func(ctx context.Context) ([]byte, error) {
		document, _, err := get(ctx, address)
		return document, err
	}
}

// Discovery is where an issuer describes itself.
func Discovery(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// FetchKeysOf fetches the key set that an issuer says is its own.
// https://openid.net/specs/openid-connect-discovery-1_0.html
func FetchKeysOf(issuer string) jose.Fetch {
	return func(ctx context.Context) ([]byte, error) {
		document, _, err := get(ctx, Discovery(issuer))
		if err != nil {
			return nil, err
		}
		described, err := jose.ParseClaims(document)
		if err != nil {
			return nil, fmt.Errorf("the configuration of %s: %w", issuer, err)
		}
		if is, _ := described.String("issuer"); is != issuer {
			return nil, fmt.Errorf("the configuration of %s is that of the issuer %q", issuer, is)
		}
		address, _ := described.String("jwks_uri")
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "https" && !loopback.Is(u.Hostname()) {
			return nil, fmt.Errorf("the configuration of %s names no https address of keys", issuer)
		}
		document, _, err = get(ctx, address)
		return document, err
	}
}

// Ahead is by how much the clock here is ahead of that of the server at an address, to some
// seconds; known is false where it does not say. now is the clock here.
func Ahead(ctx context.Context, address string, now func() time.Time) (ahead time.Duration, known bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return 0, false
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, false
	}
	response.Body.Close()
	there, err := http.ParseTime(response.Header.Get("Date"))
	return now().Sub(there).Truncate(time.Second), err == nil
}

// get fetches a public document. The status is 0 where there was no answer.
func get(ctx context.Context, address string) (document []byte, status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, response.StatusCode, fmt.Errorf("%s answers %d", address, response.StatusCode)
	}
	document, err = io.ReadAll(outbound.Bound(response.Body, maxDocument))
	if errors.Is(err, outbound.TooLong{Max: maxDocument}) {
		err = fmt.Errorf("the answer of %s is longer than %d KiB", address, maxDocument>>10)
	}
	return document, response.StatusCode, err
}
