package gcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/sync/errgroup"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

// Service accounts and project numbers end up in URL paths and audiences.
var (
	accountPattern = lazyregexp.New(`^[a-z0-9][a-z0-9._-]{0,62}@[a-z0-9][a-z0-9.-]{0,250}$`)
	numberPattern  = lazyregexp.New(`^[0-9]{1,32}$`)
)

// maxToken bounds the answer that is a token, which has a few kilobytes.
const maxToken = 64 << 10

// metadataTimeout bounds each question to the metadata server, which is on the
// same machine; its client library would go on asking.
const metadataTimeout = 5 * time.Second

func metadataFailure(doing string, err error) *access.Error {
	return &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed, Args: access.Args{"service": "metadata server"},
		Err: fmt.Errorf("%s: %w", doing, err)}
}

func noToken(why string) *access.Error {
	return metadataFailure("fetching an access token", errors.New(why))
}

// identify asks the metadata server who the service is.
func (p *Platform) identify(ctx context.Context, server *metadata.Client) error {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	read := func(into *string, suffix string) {
		g.Go(func() error {
			value, err := server.GetWithContext(ctx, suffix)
			*into = strings.TrimSpace(value)
			if err != nil {
				return fmt.Errorf("%s: %s", suffix, Quote(err.Error()))
			}
			return nil
		})
	}
	read(&p.Project, "project/project-id")
	read(&p.ProjectNumber, "project/numeric-project-id")
	read(&p.ServiceAccount, "instance/service-accounts/default/email")
	g.Go(func() error {
		// projects/NUMBER/regions/REGION. Only Cloud Run's audience needs it, so its
		// absence is not ours to refuse.
		if value, err := server.GetWithContext(ctx, "instance/region"); err == nil {
			p.Region = path.Base(strings.TrimSpace(value))
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if !numberPattern().MatchString(p.ProjectNumber) {
		return fmt.Errorf("the metadata server's project number %s is none", Quote(p.ProjectNumber))
	}
	return p.check()
}

func (p *Platform) check() error {
	if _, err := access.Project(p.Project); err != nil {
		return fmt.Errorf("%s is not a project id", Quote(p.Project))
	}
	if !accountPattern().MatchString(p.ServiceAccount) {
		return fmt.Errorf("%s is not the address of a service account", Quote(p.ServiceAccount))
	}
	return nil
}

// accountOf reads the service account out of a credentials file: its own, or the
// one that it impersonates.
func accountOf(credentials []byte) (string, error) {
	var file struct {
		Email string `json:"client_email"`
		URL   string `json:"service_account_impersonation_url"`
	}
	if err := json.Unmarshal(credentials, &file); err != nil {
		return "", errors.New("the application default credentials are not JSON")
	}
	_, name, _ := strings.Cut(file.URL, "/serviceAccounts/")
	impersonated, _, _ := strings.Cut(name, ":")
	if file.Email == "" && impersonated == "" {
		return "", errors.New("the application default credentials are not those of a service account")
	}
	return cmp.Or(file.Email, impersonated), nil
}

// tokenSource is a function that fetches a token.
type tokenSource func() (*oauth2.Token, error)

func (f tokenSource) Token() (*oauth2.Token, error) { return f() }

// metadataTokens fetches tokens of one scope from the metadata server, each within a time.
func metadataTokens(server *metadata.Client, scope string, within time.Duration) oauth2.TokenSource {
	return tokenSource(func() (*oauth2.Token, error) {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		body, err := server.GetWithContext(ctx, "instance/service-accounts/default/token?scopes="+scope)
		if err != nil {
			return nil, noToken(Quote(err.Error()))
		}
		var token oauth2.Token
		if err := json.Unmarshal([]byte(body), &token); err != nil || token.AccessToken == "" || token.ExpiresIn <= 0 {
			return nil, noToken("the answer holds no token")
		}
		token.Expiry = time.Now().Add(time.Duration(token.ExpiresIn) * time.Second)
		return &token, nil
	})
}

// impersonate has the service account's own token exchanged for one of another
// scope. It needs roles/iam.serviceAccountTokenCreator on itself, as JIT Access
// 1.x did.
func (p *Platform) impersonate(scope string) oauth2.TokenSource {
	return tokenSource(func() (*oauth2.Token, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
		type request struct {
			Scope    []string `json:"scope"`
			Lifetime string   `json:"lifetime"`
		}
		answer, err := Ask[struct {
			AccessToken string `json:"accessToken"`
			ExpireTime  string `json:"expireTime"`
		}](ctx, p.API("iamcredentials", p.Client, maxToken), "/v1/projects/-/serviceAccounts/"+p.ServiceAccount+":generateAccessToken", nil,
			request{Scope: []string{scope}, Lifetime: "3600s"})
		if err != nil {
			return nil, Failure(err, Call{Service: "IAM Credentials", Permission: "iam.serviceAccounts.getAccessToken",
				Resource: p.ServiceAccount, Account: p.ServiceAccount})
		}
		expiry, err := time.Parse(time.RFC3339, answer.ExpireTime)
		if err != nil || answer.AccessToken == "" {
			return nil, noToken("the answer of generateAccessToken holds no token")
		}
		return &oauth2.Token{AccessToken: answer.AccessToken, TokenType: "Bearer", Expiry: expiry}, nil
	})
}

// DatabaseToken is with what the service account logs in to Cloud SQL, as its password.
// https://cloud.google.com/sql/docs/postgres/iam-logins
func (p *Platform) DatabaseToken(ctx context.Context) (string, error) {
	token, err := p.impersonate("https://www.googleapis.com/auth/sqlservice.login").Token()
	if err != nil {
		return "", err
	}
	return token.AccessToken, ctx.Err()
}
