# One image for every process of ours: the command says which (docker-compose.yml).
FROM node:20.20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm install --no-audit --no-fund
COPY . .
RUN npm run build

FROM node:20.20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json ./
# tini reaps what a process leaves behind and passes signals on: Node as process 1 does neither.
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
  && npm install --omit=dev --no-audit --no-fund && npm cache clean --force \
  && install -d -o node -g node /keys /evidence
COPY --from=build /app/dist dist
USER node
ENTRYPOINT ["tini", "--"]
CMD ["node", "dist/api/main.js"]
