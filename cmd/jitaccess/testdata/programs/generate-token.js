const nJwt = require('njwt');

var claims = {

  iss: process.env.APP_URI, //URI or FQDN of the site enabled for protection (e.g., FQDN of the site in company.nextlevel3.com for which the SIGNING_KEY is valid)

  aud: process.env.API_HOST, //URI of NL3 API

  sub: process.env.USERNAME //Username for application integrated with NL3 (i.e., one being checked for lock status)

}

let decodedDomainToken = Buffer.from(process.env.SIGNING_KEY, 'base64'); //SIGNING_KEY is the symmetric key retrieved from company.nextlevel3.com associated with the enabled site

var jwt = nJwt.create(claims, decodedDomainToken);

jwt.setExpiration(new Date().getTime() + (60*5*1000)); //5 minute expiration to allow for SignUp

jwt.setNotBefore(new Date().getTime() - (60*1*1000)); //Valid from 1 minute ago to account for minor time diffs

jwt.setClaim('otherClaim', claimValue); //Add any custom claims needed for approvals

var authToken = jwt.compact();
