#!/usr/bin/env python3
# -*- coding: utf-8 -*-

import argparse
import json
import sys
import time
from urllib.parse import urlencode
import requests

BASE_URL = "http://192.168.0.106:5000"
STREAM_PATH = "/stream/dispositivos"

def pretty_json(s: str) -> str:
    try:
        return json.dumps(json.loads(s), ensure_ascii=False, indent=2)
    except Exception:
        return s

def build_url(base: str, path: str, serial: str | None, reclamado: str | None) -> str:
    qs = {}
    if serial:
        qs["serial"] = serial
    if reclamado:
        qs["reclamado"] = reclamado
    q = f"?{urlencode(qs)}" if qs else ""
    return f"{base.rstrip('/')}{path}{q}"

def consume_sse(url: str, show_raw: bool = False, session: requests.Session | None = None):
    sess = session or requests.Session()
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache", "Connection": "keep-alive"}
    with sess.get(url, headers=headers, stream=True, timeout=None) as resp:
        if resp.status_code != 200:
            raise RuntimeError(f"HTTP {resp.status_code} {resp.reason}")
        buffer_lines = []
        for raw_line in resp.iter_lines(decode_unicode=True):
            if raw_line is None:
                continue
            line = raw_line.strip("\n")
            if show_raw:
                print(f"» {line}")
            if line == "":
                if buffer_lines:
                    data_lines = [l[5:].strip() for l in buffer_lines if l.startswith("data:")]
                    if data_lines:
                        data = "\n".join(data_lines)
                        print("\n📥 Evento dispositivo:")
                        print(pretty_json(data))
                    buffer_lines.clear()
                continue
            buffer_lines.append(line)

def main():
    parser = argparse.ArgumentParser(description="Cliente SSE para /stream/dispositivos (Flask).")
    parser.add_argument("--serial", help="Filtra por serial_number", default=None)
    parser.add_argument("--reclamado", choices=["true", "false"], help="Filtra por reclamado", default=None)
    parser.add_argument("--show-raw", action="store_true", help="Muestra las líneas crudas del stream")
    parser.add_argument("--max-retries", type=int, default=0, help="Máximo de reintentos (0 = infinito)")
    args = parser.parse_args()

    url = build_url(BASE_URL, STREAM_PATH, args.serial, args.reclamado)
    print(f"🔌 Conectando a: {url}\nCtrl+C para salir.\n")

    attempt, backoff, backoff_max = 0, 2, 30
    sess = requests.Session()
    try:
        while True:
            if args.max_retries > 0 and attempt >= args.max_retries:
                print(f"🚫 Máximo de reintentos alcanzado ({args.max_retries}). Saliendo.")
                break
            attempt += 1
            try:
                print("✅ Conectado. Esperando eventos...")
                consume_sse(url, show_raw=args.show_raw, session=sess)
                print("ℹ️  Stream cerrado por el servidor. Reintentando...")
            except KeyboardInterrupt:
                print("\n👋 Cancelado por el usuario.")
                break
            except Exception as e:
                print(f"⚠️  Error en el stream: {e}")
            time.sleep(backoff)
            backoff = min(backoff * 2, backoff_max)
    finally:
        sess.close()

if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
