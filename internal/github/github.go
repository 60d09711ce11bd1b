// Package github is GitHub as one that asks for approvals: a custom deployment protection rule,
// which is a GitHub App. GitHub sends a webhook when a deployment waits, and takes the decision at
// an address that it names there.
//
// https://docs.github.com/en/actions/how-tos/deploy/configure-and-manage-deployments/create-custom-protection-rules
package github

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"

	"jitaccess/internal/lazyregexp"
)

// App is a GitHub App, as an operator configures it.
type App struct {
	// ID is its client id, or its number: the issuer of its JWTs.
	ID string
	// API is where GitHub's REST API begins, without a slash at its end: https://api.github.com,
	// or https://HOST/api/v3 of a GitHub Enterprise Server.
	API string
	// Installations are those from which deployments may come. An app that is public can be
	// installed by anybody, and GitHub signs what comes of that too.
	Installations []int64
	// Secrets are those of the webhook: one, or two while they change. Key is a private key of the
	// app.
	Secrets [][]byte
	Key     *rsa.PrivateKey
}

// minSecret is the shortest secret of a webhook, in bytes.
const minSecret = 16

// ParseSecret reads the secret of a webhook, as it was given to GitHub. The error repeats nothing
// of it.
func ParseSecret(text []byte) ([]byte, error) {
	secret := strings.TrimSpace(string(text))
	if len(secret) < minSecret {
		return nil, errors.New("shorter than 16 characters")
	}
	return []byte(secret), nil
}

// ParseKey reads a private key as GitHub gives it: RSA, in PEM, as PKCS #1 or PKCS #8. The error
// repeats nothing of it.
func ParseKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		parsed, _ := x509.ParsePKCS8PrivateKey(block.Bytes)
		key, _ = parsed.(*rsa.PrivateKey)
	}
	if key == nil || key.N.BitLen() < 2048 {
		return nil, errors.New("not a private key of RSA with 2048 bits or more")
	}
	return key, nil
}

// run is a run of a workflow: whose decisions GitHub takes at its address.
type run struct{ owner, repository, id string }

func (r run) fullName() string { return r.owner + "/" + r.repository }

// callbackPath is where decisions are taken, below App.API. Names are those that GitHub gives: no
// other address has this form.
// https://docs.github.com/en/rest/actions/workflow-runs#review-custom-deployment-protection-rules-for-a-workflow-run
var callbackPath = lazyregexp.New(
	`^/repos/([A-Za-z0-9_-]+)/([A-Za-z0-9._-]+)/actions/runs/([1-9][0-9]{0,18})/deployment_protection_rule$`)

// runAt is the run whose decisions are taken at an address. The error says that the address is not
// GitHub's: nothing, and no token, is sent there.
func (a App) runAt(callback string) (run, error) {
	below, ours := strings.CutPrefix(callback, a.API)
	m := callbackPath().FindStringSubmatch(below)
	if !ours || m == nil || m[2] == "." || m[2] == ".." {
		return run{}, errors.New("the address for the decision is not one of " + a.host())
	}
	return run{m[1], m[2], m[3]}, nil
}

func (a App) host() string {
	if u, err := url.Parse(a.API); err == nil {
		return u.Host
	}
	return a.API
}
