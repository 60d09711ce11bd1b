package mail

import (
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// symptom is what is known of something that went wrong, as far as the table of
// explanations asks for it.
type symptom struct {
	at step
	// cause is what happened when the server did not answer with a refusal; with
	// one it is answered.
	cause cause
	// code and enhanced are the server's.
	code     int
	enhanced string
	// oauth is the error code of the token endpoint, as "invalid_client".
	oauth string
	// text is what was said, in lower case.
	text string
}

// cause is why there is no answer, or none that may be accepted.
type cause string

const (
	answered     cause = "answered"
	noSecret     cause = "secret cannot be read"
	badSecret    cause = "secret is not usable"
	overPace     cause = "too many mails"
	noToken      cause = "no access token"
	noSuchHost   cause = "no such host"
	noResolver   cause = "name server failed"
	proxyFailed  cause = "proxy failed"
	portClosed   cause = "connection refused"
	noRoute      cause = "no route"
	timedOut     cause = "timed out"
	brokenOff    cause = "broken off"
	noTLS        cause = "no TLS"
	clearText    cause = "clear text"
	unknownRoots cause = "certificate of nobody who is trusted"
	wrongName    cause = "certificate for another name"
	wrongTime    cause = "certificate out of its time"
	failedTLS    cause = "TLS failed"
	noMechanism  cause = "no way to log in"
	tooMuch      cause = "too much was said"
	badAddress   cause = "no address"
	otherwise    cause = "something else"
)

// explanation is a row of the table: what must be so, and what it means then. Zero
// fields match everything.
type explanation struct {
	at []step
	// cause is answered unless it is given.
	cause cause
	// code is one of these.
	code []int
	// enhanced is one of these; one that ends with a dot is a beginning.
	enhanced []string
	oauth    string
	// text holds all of these.
	text []string
	// meaning is one sentence for an operator, remedy which setting or page of which
	// console puts it right.
	meaning, remedy string
}

func (x explanation) matches(s symptom) bool {
	want := x.cause
	if want == "" {
		want = answered
	}
	return want == s.cause &&
		(x.at == nil || slices.Contains(x.at, s.at)) &&
		(x.code == nil || slices.Contains(x.code, s.code)) &&
		(x.enhanced == nil || slices.ContainsFunc(x.enhanced, func(e string) bool {
			return e == s.enhanced || strings.HasSuffix(e, ".") && strings.HasPrefix(s.enhanced, e)
		})) &&
		(x.oauth == "" || x.oauth == s.oauth) &&
		!slices.ContainsFunc(x.text, func(t string) bool { return !strings.Contains(s.text, t) })
}

// explain finds the first row that matches. There always is one.
func explain(s symptom) explanation {
	return explanations[slices.IndexFunc(explanations, func(x explanation) bool { return x.matches(s) })]
}

var (
	atAnyLogin = []step{atLogin, atTokenLogin}
	delivering = []step{atSender, atRecipient, atMessage, atAnswer}
)

// Consoles and what to do there, where several rows need it.
const (
	useOAuth         = "Set SMTP_AUTH=oauth2; docs/mail/ has the steps."
	smtpAuthOn       = "Turn SMTP AUTH on for the mailbox that sends: Microsoft 365 admin center, Users, Active users, the mailbox, Mail, Manage email apps, Authenticated SMTP."
	appPassword      = "With two-step verification on, make one at https://myaccount.google.com/apppasswords and store it as the password (SMTP_SECRET), or set SMTP_AUTH=oauth2."
	sendAs           = "Set SMTP_SENDER_ADDRESS and SMTP_RETURN_PATH to the mailbox of SMTP_USERNAME, or let that mailbox send as the sender: Exchange admin center, Recipients, Mailboxes, the sender's, Delegation, Send as; Gmail, Settings, Accounts, Send mail as."
	clientSecret     = "Entra admin center, App registrations, the application, Certificates & secrets: make a new client secret, and store its Value, not its Secret ID, where SMTP_OAUTH_CLIENT_SECRET says."
	sendAsApp        = "Entra admin center, App registrations, the application, API permissions: add Office 365 Exchange Online, Application permissions, SMTP.SendAsApp, and grant admin consent."
	signInLog        = "Entra admin center, Monitoring, Sign-in logs, of this mailbox or application: the entry says which rule refused it."
	anotherToken     = "Let the mailbox consent again and store the new refresh token where SMTP_OAUTH_REFRESH_TOKEN says."
	newerTLS         = "Use a server that speaks TLS 1.2 or newer; mail.smtp.ssl.protocols in SMTP_OPTIONS must not forbid what it speaks."
	noOAuthSecret    = "A secret that is needed for an access token cannot be read."
	readOAuthSecret  = "Check the paths in SMTP_OAUTH_CLIENT_SECRET and SMTP_OAUTH_REFRESH_TOKEN, and give the service account Secret Manager Secret Accessor on them."
	badOAuthSecret   = "A secret that is needed for an access token is empty or has a line break within."
	storeOAuthSecret = "Store what SMTP_OAUTH_CLIENT_SECRET and SMTP_OAUTH_REFRESH_TOKEN name anew, each as one line."
	nobodysMailbox   = "The mailbox is nobody in this Google Workspace."
	usersMailbox     = "Set SMTP_USERNAME (unset, it is SMTP_SENDER_ADDRESS) to the address of a user with Gmail, not of a group or alias."
	noGrant          = "The token endpoint does not take what it is asked for."
	allowGrant       = "Check SMTP_OAUTH_TOKEN_URL, and that the provider lets the application get tokens by a refresh token where SMTP_OAUTH_REFRESH_TOKEN is set, by client credentials otherwise."
	tryLater         = "Nothing, unless it stays so: the next mail is tried anew."
)

// explanations is what operators meet, the narrower before the wider. What Google
// says is from "Gmail SMTP errors and codes" (support.google.com/a/answer/3726730),
// what Exchange Online says from "Email non-delivery reports and SMTP errors in
// Exchange Online" (learn.microsoft.com/exchange/mail-flow-best-practices/
// non-delivery-reports-in-exchange-online) unless a row says otherwise, and enhanced
// codes in general from RFC 3463, RFC 4954 and RFC 5248.
var explanations = []explanation{
	// Logging in: Exchange Online. "Enable or disable authenticated client SMTP
	// submission (SMTP AUTH) in Exchange Online", learn.microsoft.com/exchange/
	// clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission.
	{at: atAnyLogin, code: []int{535}, enhanced: []string{"5.7.139"}, text: []string{"disabled for the tenant"},
		meaning: "SMTP AUTH is turned off for the whole Microsoft 365 tenant.",
		remedy:  smtpAuthOn + " That setting wins over the tenant's, which is in the Exchange admin center, Settings, Mail flow."},
	{at: atAnyLogin, code: []int{535}, enhanced: []string{"5.7.139"}, text: []string{"disabled for the mailbox"},
		meaning: "SMTP AUTH is turned off for the mailbox that sends.", remedy: smtpAuthOn},
	{at: atAnyLogin, code: []int{535}, enhanced: []string{"5.7.139"}, text: []string{"security defaults"},
		meaning: "The tenant's security defaults forbid logging in to SMTP with a password.", remedy: useOAuth},
	{at: atAnyLogin, code: []int{535}, enhanced: []string{"5.7.139"}, text: []string{"basic authentication is disabled"},
		meaning: "Exchange Online takes no password for this mailbox.", remedy: useOAuth},
	{at: atAnyLogin, code: []int{535}, enhanced: []string{"5.7.139"}, text: []string{"did not meet the criteria"},
		meaning: "A Conditional Access or authentication policy of the tenant refuses this log-in.", remedy: signInLog},
	{at: atAnyLogin, code: []int{535}, enhanced: []string{"5.7.139"},
		meaning: "Exchange Online refuses the log-in: the password is wrong, or SMTP AUTH or a policy does not let this mailbox in.",
		remedy:  "Check SMTP_USERNAME and the password. " + smtpAuthOn + " " + signInLog},
	// "Exchange Online to retire Basic auth for Client Submission (SMTP AUTH)",
	// techcommunity.microsoft.com/blog/exchange/4114750. It may come at any step.
	{enhanced: []string{"5.7.30"},
		meaning: "Exchange Online does not take passwords for sending any more in this tenant.", remedy: useOAuth},
	// "Authenticate an IMAP, POP or SMTP connection using OAuth", learn.microsoft.com/
	// exchange/client-developer/legacy-protocols: without the service principal in
	// Exchange, or with the object id of the app registration, a good token is refused.
	{at: []step{atTokenLogin}, code: []int{535}, enhanced: []string{"5.7.3"},
		meaning: "Exchange Online does not let the application that the token is for use this mailbox.",
		remedy: sendAsApp + " In Exchange Online PowerShell: New-ServicePrincipal with the object id of the Enterprise application, not of the app registration, and Add-MailboxPermission for the mailbox of SMTP_USERNAME. " +
			smtpAuthOn},
	// The application is known to Exchange, and not let into the mailbox.
	{code: []int{430}, text: []string{"mailbox logon failure"},
		meaning: "Exchange Online does not let the application into the mailbox, or not yet.",
		remedy:  "In Exchange Online PowerShell: Add-MailboxPermission for the mailbox of SMTP_USERNAME. It may take an hour until it has effect."},
	{at: atAnyLogin, code: []int{535}, enhanced: []string{"5.7.3"},
		meaning: "The mail server does not know this user name with this password, or takes no password for the mailbox.",
		remedy:  "Check SMTP_USERNAME and store the password anew. At Exchange Online: " + useOAuth},

	// Logging in: Google.
	{at: atAnyLogin, code: []int{534}, enhanced: []string{"5.7.9"},
		meaning: "Gmail takes no ordinary password for this account, but an app password or a token.", remedy: appPassword},
	{at: atAnyLogin, code: []int{534}, enhanced: []string{"5.7.14"},
		meaning: "Gmail holds the sign-in for suspicious and wants a person to confirm it.",
		remedy:  "Sign in to the account in a browser and confirm that it was you. Then: " + appPassword},
	{at: []step{atTokenLogin}, code: []int{535}, enhanced: []string{"5.7.8", "5.7.1"},
		meaning: "The mail server refuses the access token: it is for another mailbox, or not for sending mail.",
		remedy:  "SMTP_USERNAME must be the mailbox that consented, or that the service account acts for, and SMTP_OAUTH_SCOPE must be https://mail.google.com/ at Google."},
	{at: []step{atTokenLogin}, code: []int{535, 530, 538},
		meaning: "The mail server refuses the access token.", remedy: "Check SMTP_USERNAME, SMTP_OAUTH_SCOPE, and that the mailbox may be used with SMTP."},

	// Logging in: anybody (RFC 4954).
	{at: atAnyLogin, code: []int{454}, text: []string{"too many"},
		meaning: "The mail server has seen too many log-ins of this account in a short time.",
		remedy:  "Wait some minutes. If another program logs in with it, give this service an account of its own."},
	{at: atAnyLogin, code: []int{454}, enhanced: []string{"4.7.0", ""},
		meaning: "The mail server cannot check log-ins at the moment.", remedy: tryLater},
	{at: atAnyLogin, code: []int{504, 538, 534},
		meaning: "The mail server does not accept this way to log in.", remedy: "Set SMTP_AUTH=oauth2, or mail.smtp.auth.mechanisms in SMTP_OPTIONS to another of PLAIN and LOGIN."},
	{at: atAnyLogin, code: []int{535},
		meaning: "The mail server does not know this user name with this password.",
		remedy:  "Check SMTP_USERNAME and store the password anew; at Gmail it is an app password (https://myaccount.google.com/apppasswords)."},
	{cause: noMechanism,
		meaning: "The mail server offers no way to log in that is configured here.",
		remedy:  "Check SMTP_AUTH, and mail.smtp.auth.mechanisms in SMTP_OPTIONS. At Exchange Online: " + smtpAuthOn},
	{code: []int{530}, text: []string{"starttls"},
		meaning: "The mail server wants TLS first.", remedy: "Leave SMTP_ENABLE_STARTTLS unset."},
	{enhanced: []string{"5.7.57"},
		meaning: "Exchange Online takes mail only from who has logged in.",
		remedy:  "Set SMTP_USERNAME, and the password or SMTP_AUTH=oauth2."},
	{at: delivering, code: []int{530},
		meaning: "The mail server takes mail only from who has logged in.",
		remedy:  "Set SMTP_USERNAME, and the password or SMTP_AUTH=oauth2."},

	// Limits.
	// "Improvements to SMTP client submission", learn.microsoft.com/exchange/
	// troubleshoot/send-emails/smtp-submission-improvements.
	{code: []int{432}, enhanced: []string{"4.3.2"},
		meaning: "The mailbox has more connections to Exchange Online than the three that it may have.",
		remedy:  "Lower SMTP_MAX_CONNECTIONS; all instances of this service, and other programs with the same mailbox, count together."},
	// Same page, "continuous error throttling"; 554 5.2.252 is something else.
	{code: []int{550}, enhanced: []string{"5.2.251", "5.2.252", "5.2.253", "5.2.254", "5.2.255"},
		meaning: "Exchange Online has throttled the mailbox because it made the same fault again and again.",
		remedy:  "Put right what was refused before (the log has it), and wait: it opens again by itself."},
	{enhanced: []string{"5.4.5"},
		meaning: "The account has sent as much as it may in a day.", remedy: "Wait until tomorrow, or send from another account or a relay: SMTP_HOST, SMTP_USERNAME."},
	{code: []int{554}, text: []string{"submissionquotaexceeded"},
		meaning: "The account has sent as much as it may in a day.", remedy: "Wait until tomorrow, or send from another account or a relay: SMTP_HOST, SMTP_USERNAME."},
	{code: []int{421, 450, 451}, enhanced: []string{"4.7."},
		meaning: "The mail server has had too much of this account or this network, and takes no more for a while.",
		remedy:  "Wait; if it happens often, lower SMTP_MESSAGES_PER_MINUTE. For smtp-relay.gmail.com, let the service's address in: Google Admin console, Apps, Google Workspace, Gmail, Routing, SMTP relay service."},
	{code: []int{421},
		meaning: "The mail server is busy or shutting down and has closed the connection.", remedy: tryLater},
	{at: []step{atRecipient}, code: []int{450}, enhanced: []string{"4.2.1"},
		meaning: "The recipient gets mail too fast, and the server takes no more for them for a while.", remedy: tryLater},
	{enhanced: []string{"4.2.2", "5.2.2"},
		meaning: "The recipient's mailbox is full.", remedy: "The recipient has to make room."},
	{code: []int{452, 451, 550, 552}, enhanced: []string{"4.5.3", "5.5.3"},
		meaning: "The mail has more recipients than the mail server takes at once.", remedy: "Lower the largest number of reviewers: ACTIVATION_REQUEST_MAX_REVIEWERS."},
	{code: []int{452},
		meaning: "The mail server lacks room, or takes no more from this account at the moment.", remedy: tryLater},

	// Sending as.
	{code: []int{550}, enhanced: []string{"5.7.60"},
		meaning: "The account that logs in may not send as the sender.", remedy: sendAs},
	{code: []int{554, 550}, enhanced: []string{"5.2.252"},
		meaning: "The account that logs in may not send as the sender.", remedy: sendAs},
	{text: []string{"sendasdenied"},
		meaning: "The account that logs in may not send as the sender.", remedy: sendAs},
	{text: []string{"send as this sender"},
		meaning: "The account that logs in may not send as the sender.", remedy: sendAs},
	// Postfix, reject_sender_login_mismatch (postfix.org/postconf.5.html).
	{text: []string{"not owned by user"},
		meaning: "The account that logs in may not send as the sender.", remedy: sendAs},

	// Recipients.
	{at: []step{atRecipient}, enhanced: []string{"5.1.1", "5.1.10", "5.1.2", "5.1.3", "5.1.6", "5.4.1"},
		meaning: "There is no mailbox at the recipient's address.",
		remedy:  "If people get mail elsewhere than where they sign in, set SMTP_ADDRESS_MAPPING."},
	{at: []step{atRecipient}, text: []string{"relay"},
		meaning: "The mail server does not pass mail on for this service.",
		remedy:  "Let it log in (SMTP_USERNAME), or let the mail server relay for the address that the service has outside."},
	{at: []step{atRecipient}, enhanced: []string{"5.7."},
		meaning: "The mail server does not take mail for this recipient from this account.",
		remedy:  "The recipient, often a group, may take mail only from some senders: let SMTP_SENDER_ADDRESS in there. Or the server does not relay: let it log in (SMTP_USERNAME)."},
	{at: []step{atRecipient}, code: []int{550, 551, 553},
		meaning: "The mail server does not take mail for this recipient.",
		remedy:  "See whether the address exists. If people get mail elsewhere than where they sign in, set SMTP_ADDRESS_MAPPING."},
	{at: []step{atRecipient}, cause: badAddress,
		meaning: "There is no address at which this person gets mail.", remedy: "Check what SMTP_ADDRESS_MAPPING gives for them."},

	// The message.
	{enhanced: []string{"5.3.4", "5.2.3"},
		meaning: "The mail is larger than the mail server takes.", remedy: "Raise the largest size of a message there; ours are under 100 KB."},
	{code: []int{552}, enhanced: []string{"5.7."},
		meaning: "The mail server takes the mail for dangerous.", remedy: "Have the mail server's administrator let mail of SMTP_SENDER_ADDRESS through."},
	{code: []int{552},
		meaning: "The mail is too large, or a mailbox is full.", remedy: "Raise the limit at the mail server, or have the recipient make room."},
	{code: []int{550, 554}, enhanced: []string{"5.7.26", "5.7.509", "5.7.515"},
		meaning: "The mail does not prove that it is from the sender's domain (SPF, DKIM, DMARC).",
		remedy:  "Let the mail server sign for the domain and add it to the domain's SPF record, or set SMTP_DKIM_SELECTOR and SMTP_DKIM_KEY."},
	{at: []step{atMessage, atAnswer}, enhanced: []string{"5.7."},
		meaning: "The mail server refused the mail as spam or by a rule of its administrator.",
		remedy:  "Have its administrator let mail of SMTP_SENDER_ADDRESS through; its log has what was refused."},
	{at: []step{atSender}, code: []int{550, 551, 553, 554, 501},
		meaning: "The mail server does not take mail from this sender.", remedy: sendAs},

	// Certificates and TLS.
	{cause: noTLS,
		meaning: "The mail server does not offer STARTTLS, or somebody on the way removes the offer, and nothing is sent without it.",
		remedy:  "Use a server and port (SMTP_HOST, SMTP_PORT) that offer STARTTLS with a certificate for the name in SMTP_HOST, or SMTP_PORT=465, for TLS from the first byte."},
	{at: []step{atTLS}, code: []int{454},
		meaning: "The mail server cannot start TLS at the moment.", remedy: "See its certificate and log if it stays so."},
	{cause: unknownRoots,
		meaning: "The server's certificate is signed by nobody who is trusted here.",
		remedy:  "Set SMTP_CA to the certificate of the authority that signed it (it counts instead of those that the system trusts), or give the server a certificate of a public one, together with the intermediate ones."},
	{cause: wrongName,
		meaning: "The server's certificate is not for the name in SMTP_HOST.", remedy: "Set SMTP_HOST to a name that stands in the certificate, or have the certificate made for it."},
	{cause: wrongTime,
		meaning: "The server's certificate has expired or is not valid yet.", remedy: "Renew the certificate of the mail server; if it is in order, a proxy or firewall on the way shows its own."},
	{cause: clearText,
		meaning: "The server, or somebody on the way, answered in clear text where TLS should begin.",
		remedy:  "Port 587 begins in clear text: take mail.smtp.ssl.enable out of SMTP_OPTIONS. TLS from the first byte is for port 465."},
	{cause: failedTLS, text: []string{"protocol version"},
		meaning: "The server and this service have no version of TLS in common.", remedy: newerTLS},
	{cause: failedTLS,
		meaning: "TLS could not be agreed on with the server.", remedy: newerTLS},

	// Getting there.
	{cause: noSuchHost,
		meaning: "There is no mail server of the name in SMTP_HOST.",
		remedy:  "Correct SMTP_HOST. A name inside your network is found only through a VPC connector or Direct VPC egress, and its DNS."},
	{cause: noResolver,
		meaning: "The name in SMTP_HOST could not be looked up, because the name server did not answer as it should.",
		remedy:  "Try again; if it stays so, see to the DNS of the network that the service is in."},
	{cause: proxyFailed,
		meaning: "The proxy in ALL_PROXY could not be reached or does not pass connections on to the mail server.",
		remedy:  "Correct ALL_PROXY (with USER:PASSWORD@ before the host if the proxy wants it), let SMTP_HOST and SMTP_PORT through there, or name the mail server in NO_PROXY."},
	{cause: portClosed,
		meaning: "Nothing listens at the port in SMTP_PORT of the mail server.", remedy: "Correct SMTP_HOST and SMTP_PORT: 587, or 465 with TLS from the first byte."},
	{cause: noRoute,
		meaning: "The network has no way to the mail server.", remedy: "See whether the network lets the service out to SMTP_HOST and SMTP_PORT (VPC egress, Cloud NAT, firewall)."},
	// Google Cloud blocks port 25 outwards: docs.cloud.google.com/compute/docs/
	// tutorials/sending-mail.
	{cause: timedOut, at: []step{atConnect},
		meaning: "The mail server, or a firewall before it, does not answer at all.",
		remedy:  "Check SMTP_HOST and SMTP_PORT, and that the network lets the service out to them (VPC egress, firewall). Port 25 is blocked on Google Cloud."},
	{cause: timedOut, at: []step{atGreeting, atHello},
		meaning: "The mail server took the connection and then said nothing.",
		remedy:  "If the port is for TLS from the first byte, as port 465 is, set mail.smtp.ssl.enable=true in SMTP_OPTIONS; or set SMTP_PORT=587. Otherwise see whether a firewall on the way looks into mail."},
	{cause: timedOut, at: []step{atTLS},
		meaning: "The mail server did not finish agreeing on TLS in time.", remedy: "See whether a firewall on the way looks into mail, and its log."},
	{cause: timedOut, at: []step{atPassword, atToken, atAuthorities, atSigning},
		meaning: "What is needed to log in could not be had in time.", remedy: "See whether the network lets the service out to Secret Manager and to the token endpoint (HTTPS_PROXY)."},
	{cause: timedOut, at: []step{atAnswer},
		meaning: "The mail server took the whole mail and did not say in time whether it keeps it.", remedy: "See its log; the mail may have been delivered. Raise mail.smtp.timeout in SMTP_OPTIONS if it scans for long."},
	{cause: timedOut,
		meaning: "The mail server did not answer in time.", remedy: "See the load of the mail server and its log."},
	{cause: brokenOff, at: []step{atConnect, atGreeting},
		meaning: "The mail server closed the connection at once.", remedy: "The port may be for TLS from the first byte (465), or the server does not want connections from this network: see its log."},
	{cause: brokenOff,
		meaning: "The mail server, or something on the way, closed the connection.", remedy: "See the log of the mail server; it may limit connections or clients that it does not know."},
	{cause: overPace,
		meaning: "More mails were to be sent than SMTP_MESSAGES_PER_MINUTE permits, and the action could not wait.",
		remedy:  "Nothing, unless it stays so. Raise SMTP_MESSAGES_PER_MINUTE as far as the mail account allows (Exchange Online: 30)."},
	{cause: tooMuch,
		meaning: "The server says more than a mail server would.", remedy: "Check SMTP_HOST and SMTP_PORT."},

	// What logs in.
	{cause: noSecret, at: []step{atAuthorities},
		meaning: "The certificates of who may sign the mail server's certificate cannot be read.",
		remedy:  "Check the path in SMTP_CA, and give the service account Secret Manager Secret Accessor on it."},
	{cause: badSecret, at: []step{atAuthorities},
		meaning: "What SMTP_CA names holds no certificate.", remedy: "Store the certificates there as PEM, each beginning with -----BEGIN CERTIFICATE-----."},
	{cause: noSecret, at: []step{atSigning},
		meaning: "The private key of DKIM signatures cannot be read, and nothing is sent without a signature.",
		remedy:  "Check the path in SMTP_DKIM_KEY, and give the service account Secret Manager Secret Accessor on it. Unset it and SMTP_DKIM_SELECTOR to send unsigned."},
	{cause: badSecret, at: []step{atSigning},
		meaning: "What SMTP_DKIM_KEY names is no private key that can sign.",
		remedy:  "Store it as PEM: RSA of 2048 bits or more, or Ed25519. Unset it and SMTP_DKIM_SELECTOR to send unsigned."},
	{cause: noSecret,
		meaning: "The secret that logs in cannot be read.",
		remedy:  "Check the path in SMTP_SECRET, and give the service account Secret Manager Secret Accessor on it."},
	{cause: badSecret,
		meaning: "The secret that logs in is empty or has a line break within.", remedy: "Store it anew, as one line."},

	// Tokens of Microsoft. "Microsoft Entra authentication and authorization error
	// codes", learn.microsoft.com/entra/identity-platform/reference-error-codes.
	{cause: noToken, text: []string{"aadsts7000222"},
		meaning: "The client secret of the application has expired.", remedy: clientSecret},
	{cause: noToken, text: []string{"aadsts7000215"},
		meaning: "The client secret is wrong.", remedy: clientSecret},
	{cause: noToken, text: []string{"aadsts700016"},
		meaning: "The tenant has no application with this client id.",
		remedy:  "Check SMTP_OAUTH_CLIENT_ID (Application (client) ID of the app registration) and SMTP_OAUTH_TENANT (Directory (tenant) ID)."},
	{cause: noToken, text: []string{"aadsts7000112"},
		meaning: "The application is disabled in the tenant.", remedy: "Entra admin center, Enterprise applications, the application, Properties: enable sign-in."},
	{cause: noToken, text: []string{"aadsts900023"},
		meaning: "The tenant is neither an id nor a domain.", remedy: "Set SMTP_OAUTH_TENANT to the Directory (tenant) ID: Entra admin center, Overview."},
	{cause: noToken, text: []string{"aadsts90002"},
		meaning: "There is no such tenant.", remedy: "Set SMTP_OAUTH_TENANT to the Directory (tenant) ID: Entra admin center, Overview."},
	{cause: noToken, text: []string{"aadsts50034"},
		meaning: "The account does not exist in the tenant.", remedy: "Check SMTP_USERNAME and SMTP_OAUTH_TENANT."},
	{cause: noToken, text: []string{"aadsts65001"},
		meaning: "Nobody has consented to what the application asks for.", remedy: sendAsApp},
	{cause: noToken, text: []string{"aadsts70011"},
		meaning: "The scope is not valid.", remedy: "Leave SMTP_OAUTH_SCOPE unset, or set it to https://outlook.office365.com/.default."},
	{cause: noToken, text: []string{"aadsts1002012"},
		meaning: "The scope is not valid for an application that logs in as itself.", remedy: "Leave SMTP_OAUTH_SCOPE unset, or set it to https://outlook.office365.com/.default."},
	{cause: noToken, text: []string{"aadsts500011"},
		meaning: "The tenant does not have what the scope names.", remedy: "Leave SMTP_OAUTH_SCOPE unset, and see that the tenant has Exchange Online."},
	{cause: noToken, text: []string{"aadsts53003"},
		meaning: "A Conditional Access policy of the tenant refuses the token.", remedy: signInLog},
	{cause: noToken, text: []string{"aadsts700082"},
		meaning: "The refresh token has expired because it was not used for long.", remedy: anotherToken},
	{cause: noToken, text: []string{"aadsts50173"},
		meaning: "The refresh token was revoked, as after a change of the password.", remedy: anotherToken},
	{cause: noToken, text: []string{"aadsts7000218"},
		meaning: "The application sent no client secret.", remedy: "Set SMTP_OAUTH_CLIENT_SECRET."},
	{cause: noToken, text: []string{"aadsts"},
		meaning: "Microsoft Entra gives no token.", remedy: "Look the number after AADSTS up at https://login.microsoftonline.com/error. " + signInLog},
	// A token without the role: the token is given, and Exchange refuses it.
	{cause: noToken, text: []string{"smtp.sendasapp"},
		meaning: "The token lacks the permission SMTP.SendAsApp (claim roles).", remedy: sendAsApp},
	// Codes of package oauth, for tokens that are good for something else.
	{cause: noToken, oauth: "token-without-role",
		meaning: "The token lacks the permission SMTP.SendAsApp (claim roles).", remedy: sendAsApp},
	{cause: noToken, oauth: "token-for-another-application",
		meaning: "The token is for another application.", remedy: "Check SMTP_OAUTH_CLIENT_ID and SMTP_OAUTH_TOKEN_URL."},
	{cause: noToken, oauth: "token-for-another-mailbox",
		meaning: "The token is for another mailbox.", remedy: "Check SMTP_USERNAME; with a refresh token, let that mailbox consent and store the new one."},
	{cause: noToken, oauth: "token-for-another-service",
		meaning: "The token is for another service than mail.", remedy: "Leave SMTP_OAUTH_SCOPE unset, or set it to https://outlook.office365.com/.default."},

	// What is needed for a token, as packages secretmanager and iamcredentials say it.
	{cause: noToken, text: []string{string(access.CodeServiceNotAllowed)}, meaning: noOAuthSecret, remedy: readOAuthSecret},
	{cause: noToken, text: []string{string(access.CodeUnknownResource)}, meaning: noOAuthSecret, remedy: readOAuthSecret},
	{cause: noToken, text: []string{"oauth: the ", "line break"}, meaning: badOAuthSecret, remedy: storeOAuthSecret},
	{cause: noToken, text: []string{"oauth: the ", "is empty"}, meaning: badOAuthSecret, remedy: storeOAuthSecret},
	{cause: noToken, text: []string{string(access.CodeSigningNotAllowed)},
		meaning: "The service account may not sign as itself, which domain-wide delegation needs.",
		remedy:  "Give it Service Account Token Creator (roles/iam.serviceAccountTokenCreator) on itself. If the mailbox has an application of its own, set SMTP_OAUTH_CLIENT_ID."},

	// Tokens of Google. "Using OAuth 2.0 for Server to Server Applications" and
	// "Refresh token expiration", developers.google.com/identity/protocols/oauth2.
	{cause: noToken, oauth: "unauthorized_client", text: []string{"retrieve access tokens"},
		meaning: "Domain-wide delegation is not authorized for the service account and the scope.",
		remedy:  "Google Admin console, Security, Access and data control, API controls, Manage domain-wide delegation: add the service account's numeric client id (Unique ID) with the scope https://mail.google.com/, and leave SMTP_OAUTH_SCOPE unset. It may take a day until it has effect."},
	{cause: noToken, oauth: "invalid_grant", text: []string{"invalid email or user id"},
		meaning: nobodysMailbox, remedy: usersMailbox},
	{cause: noToken, oauth: "invalid_grant", text: []string{"not a valid email"},
		meaning: nobodysMailbox, remedy: usersMailbox},
	{cause: noToken, oauth: "invalid_grant", text: []string{"expired or revoked"},
		meaning: "The refresh token has expired or was revoked.",
		remedy:  anotherToken + " At Google it ends with a change of the mailbox's password, after six months without use, and after seven days while the OAuth consent screen is in Testing."},

	// Tokens of anybody (RFC 6749, 5.2).
	{cause: noToken, oauth: "invalid_client",
		meaning: "The token endpoint does not know the application, or not with this secret.", remedy: "Check SMTP_OAUTH_CLIENT_ID, and store the secret anew where SMTP_OAUTH_CLIENT_SECRET says."},
	{cause: noToken, oauth: "unauthorized_client",
		meaning: "The application may not get tokens in this way.", remedy: "Allow it the grant that is used here at the provider: refresh token where SMTP_OAUTH_REFRESH_TOKEN is set, client credentials otherwise."},
	{cause: noToken, oauth: "invalid_grant",
		meaning: "The provider does not accept what the token is asked for with.", remedy: "With a refresh token: " + anotherToken + " With a service account: check SMTP_USERNAME, and the clock of the service."},
	{cause: noToken, oauth: "invalid_scope",
		meaning: "The provider does not know the scope, or does not give it to the application.", remedy: "Correct SMTP_OAUTH_SCOPE."},
	{cause: noToken, oauth: "unsupported_grant_type", meaning: noGrant, remedy: allowGrant},
	{cause: noToken, oauth: "invalid_request", meaning: noGrant, remedy: allowGrant},
	{cause: noToken, oauth: "access_denied",
		meaning: "The provider denies the application the token.", remedy: "See the rules for third-party applications at the provider: Google Admin console, Security, API controls; Entra admin center, Enterprise applications, Consent and permissions."},
	{cause: noToken,
		meaning: "No access token could be had.", remedy: "Check SMTP_OAUTH_TOKEN_URL, and that the network lets the service out to it (HTTPS_PROXY)."},

	// What nobody has met yet.
	{code: codes(400, 499),
		meaning: "The mail server cannot do it at the moment.", remedy: tryLater},
	{meaning: "The mail server refused it.", remedy: "Its words say why; its administrator finds more in its log."},
	{cause: otherwise, meaning: "The conversation with the mail server went wrong.", remedy: "Check SMTP_HOST and SMTP_PORT, and that a mail server for submission is there."},
}

// codes are all from one to another.
func codes(from, to int) (all []int) {
	for code := from; code <= to; code++ {
		all = append(all, code)
	}
	return all
}
