package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
)

// ALB is an Application Load Balancer of AWS that signs people in with the client of an OpenID
// Connect provider. Its key server is that of all load balancers of the region, whoever
// they belong to: only the ARN of the signer tells ours from a stranger's. What it says of a
// person is what the provider's userinfo endpoint did.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html
func ALB(arn, client string) Profile {
	ours := func(header jose.Claims) error {
		if signer, _ := header.String("signer"); signer != arn {
			return errors.New("another load balancer has signed it")
		}
		if is, _ := header.String("client"); is != client {
			return fmt.Errorf("it is for the client %q", access.Clip(is, 200))
		}
		return nil
	}
	return Profile{
		Method: "alb",
		Header: "X-Amzn-Oidc-Data",
		Form: jose.Form{Algorithms: []jose.Algorithm{jose.ES256}, Header: []string{"signer", "iss", "client", "exp"},
			Ours: ours, Padded: true},
		Issuer: func(t jose.Token) error {
			above, _ := t.Header.String("iss")
			if within, err := t.Claims.String("iss"); err != nil || above != within {
				return errors.New("header and claims name different issuers")
			}
			return nil
		},
		Audience: func(t jose.Token) error { return ours(t.Header) },
		Ours:     only(client),
		Expected: "the client " + client + " of " + arn,
		MaxLife:  10 * time.Minute,
		Undated:  true,
		Caller:   func(t jose.Token) (access.Caller, error) { return Person(t.Claims, "sub", "email") },
		Event:    "alb.authenticate",
		Check:    "LoadBalancerKeysAreAvailable",
		Service:  "the key server of the load balancers",
	}
}

// albKeyID is what a load balancer calls a key, which becomes a part of a path.
const albKeyID = `[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`

// ALBKeys are the keys of load balancers that a server has; see ALBKeyServer. now is the clock.
func ALBKeys(server string, now func() time.Time) *jose.KeysByID {
	return jose.NewKeysByID(func(ctx context.Context, id string) ([]byte, error) {
		key, status, err := get(ctx, server+"/"+id)
		if status == http.StatusNotFound || status == http.StatusForbidden {
			return nil, jose.ErrUnknownKey
		}
		return key, err
	}, albKeyID, now)
}

// ALBKeyServer is the address under which the load balancers have their keys that are in the
// region of the one with the ARN.
func ALBKeyServer(arn string) string {
	region := strings.Split(arn+":::", ":")[3]
	if strings.HasPrefix(region, "us-gov-") {
		return "https://s3-" + region + ".amazonaws.com/aws-elb-public-keys-prod-" + region
	}
	return "https://public-keys.auth.elb." + region + ".amazonaws.com"
}
