package mail

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/emersion/go-msgauth/dkim"
)

// minRSA is the least length of an RSA key, in bits. RFC 8301 says that signers
// should use at least that.
const minRSA = 2048

// signedFields are what a signature covers besides the body. Each is listed twice,
// so that none can be changed, nor one more of it be added, nor one that is not
// there (RFC 6376, 5.4.2 and 8.15).
var signedFields = slices.Repeat([]string{"From", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
	"Reply-To", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"}, 2)

// NewDKIM makes a Config.Sign that puts a DKIM signature (RFC 6376) for the domain
// in front of messages. key reads the private key, as PEM: PKCS #8, or PKCS #1 for
// RSA. It is called when a message is to be signed, until it has given a key.
//
// Without a key nothing is sent: an operator who sets one up has usually told
// receivers, by DMARC, to drop mails without a signature, and those would seem sent
// and never arrive.
func NewDKIM(selector, domain string, key func(context.Context) ([]byte, error)) func(context.Context, []byte) ([]byte, error) {
	signer := parsed(key, parseKey)
	return func(ctx context.Context, message []byte) ([]byte, error) {
		var signed bytes.Buffer
		key, err := signer(ctx)
		if err == nil {
			// go-mail's own signer breaks the list of fields into lines, and then signs it
			// as if it had not (v0.8.1); its signatures of so many fields are wrong.
			err = dkim.Sign(&signed, bytes.NewReader(message), &dkim.SignOptions{
				Domain: domain, Selector: selector, Signer: key, HeaderKeys: signedFields,
				HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
			})
		}
		if err != nil {
			return nil, fault(ctx, atSigning, err)
		}
		return signed.Bytes(), nil
	}
}

// parseKey reads a private key. Its errors hold nothing of it.
func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the key is not PEM")
	}
	var key any
	var err error
	switch {
	case block.Type == "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case block.Type == "RSA PRIVATE KEY" && block.Headers["DEK-Info"] == "":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("the key is a PEM block of type %s; it must be an unencrypted PRIVATE KEY or RSA PRIVATE KEY", quoted(block.Type))
	}
	if err != nil {
		return nil, errors.New("the key cannot be read: its PEM block is damaged, or holds a key of another kind")
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < minRSA {
			return nil, fmt.Errorf("the key is RSA of %d bits; it must have at least %d", bits, minRSA)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("the key is a %T; it must be RSA or Ed25519", key)
}
