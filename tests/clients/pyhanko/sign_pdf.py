# SPDX-License-Identifier: Apache-2.0
"""Runs inside the environment that has pyHanko: signs PDFs by its own CSC signer, unmodified. What it does is one JSON object on standard
input; `pairs` are [unsigned, signed] paths, all of one batch. The code is asked for on standard output when the hashes are known."""

import asyncio
import json
import sys

import aiohttp
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.signers.csc_signer import (CSCAuthorizationManager, CSCServiceSessionInfo, CSCSigner,
                                             fetch_certs_in_csc_credential)


class ByCode(CSCAuthorizationManager):
    def __init__(self, session, *args):
        super().__init__(*args)
        self.session = session

    async def authorize_signature(self, hash_b64s):
        print(f"code for {len(hash_b64s)}", flush=True)
        code = sys.stdin.readline().strip()
        request = self.format_csc_auth_request(otp=code, hash_b64s=hash_b64s, description="PDF documents")
        url = self.csc_session_info.endpoint_url("credentials/authorize")
        async with self.session.post(url, headers=self.auth_headers, json=request, raise_for_status=True) as r:
            return self.parse_csc_auth_response(await r.json())


async def sign(signer, source, target):
    with open(source, "rb") as f, open(target, "w+b") as out:
        writer = IncrementalPdfFileWriter(f)
        fields.append_signature_field(writer, fields.SigFieldSpec("Signature", box=(50, 50, 250, 100), on_page=0))
        await signers.async_sign_pdf(writer, signers.PdfSignatureMetadata(field_name="Signature", md_algorithm="sha256"),
                                     signer=signer, output=out)


async def main(job):
    info = CSCServiceSessionInfo(job["url"], job["credential"], oauth_token=job["token"])
    async with aiohttp.ClientSession() as session:
        credential = await fetch_certs_in_csc_credential(session, info)
        signer = CSCSigner(session, ByCode(session, info, credential), prefer_pss=job["pss"], batch_size=len(job["pairs"]))
        await asyncio.gather(*(sign(signer, *pair) for pair in job["pairs"]))


asyncio.run(main(json.loads(sys.stdin.readline())))
