package doctor

var Certificates = certificates
