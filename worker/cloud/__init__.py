"""The only HTTP client of the house: how Huawei Cloud's image service is asked and told.

```
ims          list shared images, update members, get job
cbr          look up vaults
client       a call with its retries; a client for each credential
config       what it needs to know
auth/        who may make a call, and how it is authorised
limits/      when a call of an account may leave, on which connection, and what its refusals teach
transport    one exchange over HTTP, whatever comes of it
wire         bodies of answers -> values          refusals     answers that say no -> errors
request      a call, and what authorises it       bodies       what arrives, unpacked and bounded
proxies      the way to an origin                 no_proxy     what the environment says of it
regions      region -> host                       permissions  what to check after a 403
```
"""
